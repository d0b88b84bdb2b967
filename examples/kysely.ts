/** An order and its event, in one transaction of Kysely. */
import { randomUUID } from "node:crypto";
import { Kysely, PostgresDialect } from "kysely";
import { enqueue, fromKysely } from "outrider";
import pg from "pg";

interface Database {
  orders: { id: string; total_cents: number };
}

const db = new Kysely<Database>({
  dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: process.env.DATABASE_URL }) }),
});
await db.schema
  .createTable("orders")
  .ifNotExists()
  .addColumn("id", "uuid", (column) => column.primaryKey())
  .addColumn("total_cents", "integer", (column) => column.notNull())
  .execute();

const order = { id: randomUUID(), total_cents: 4200 };
const eventIds = await db.transaction().execute(async (trx) => {
  await trx.insertInto("orders").values(order).execute();
  return await enqueue(fromKysely(trx), {
    aggregateId: order.id,
    aggregateType: "order",
    eventType: "OrderPlaced",
    payload: order,
  });
});
await db.destroy();
console.log(`order ${order.id} placed, with the event ${eventIds.join()}`);
