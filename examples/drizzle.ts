/** An order and its event, in one transaction of Drizzle on node-postgres. */
import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { integer, pgTable, uuid } from "drizzle-orm/pg-core";
import { enqueue, fromDrizzle } from "outrider";
import pg from "pg";

const orders = pgTable("orders", {
  id: uuid("id").primaryKey(),
  totalCents: integer("total_cents").notNull(),
});

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const db = drizzle(pool);
await db.execute("create table if not exists orders (id uuid primary key, total_cents integer not null)");

const order = { id: randomUUID(), totalCents: 4200 };
const eventIds = await db.transaction(async (tx) => {
  await tx.insert(orders).values(order);
  return await enqueue(fromDrizzle(tx, sql), {
    aggregateId: order.id,
    aggregateType: "order",
    eventType: "OrderPlaced",
    payload: order,
  });
});
await pool.end();
console.log(`order ${order.id} placed, with the event ${eventIds.join()}`);
