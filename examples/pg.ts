/** An order and its events, in one transaction of pg. */
import { randomUUID } from "node:crypto";
import { enqueue, fromPg } from "outrider";
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await pool.query("create table if not exists orders (id uuid primary key, total_cents integer not null)");

const order = { id: randomUUID(), totalCents: 4200 };
const client = await pool.connect();
try {
  await client.query("begin");
  await client.query("insert into orders values ($1, $2)", [order.id, order.totalCents]);
  const eventIds = await enqueue(fromPg(client), [
    { aggregateId: order.id, aggregateType: "order", eventType: "OrderPlaced", payload: order },
    {
      aggregateId: order.id,
      aggregateType: "order",
      eventType: "PaymentRequested",
      payload: { orderId: order.id },
    },
  ]);
  await client.query("commit");
  console.log(`order ${order.id} placed, with the events ${eventIds.join(" and ")}`);
} catch (thrown) {
  await client.query("rollback");
  throw thrown;
} finally {
  client.release();
  await pool.end();
}
