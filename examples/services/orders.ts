/** The orders service: places orders, each with its event in the same transaction, and knows no other service. */
import { randomUUID } from "node:crypto";
import { enqueue, fromPg } from "outrider";
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
// The lock: of two that start together, one would otherwise fail at making the same table.
await pool.query(
  "select pg_advisory_xact_lock(hashtext('orders')); create table if not exists orders (id uuid primary key, status text not null)",
);

async function inTransaction(work: (client: pg.PoolClient) => Promise<void>): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    await work(client);
    await client.query("commit");
  } catch (thrown) {
    await client.query("rollback");
    throw thrown;
  } finally {
    client.release();
  }
}

for (let n = 1; n <= 10; n += 1) {
  const id = randomUUID();
  const order = { aggregateId: id, aggregateType: "order" };
  await inTransaction(async (client) => {
    await client.query("insert into orders values ($1, 'placed')", [id]);
    await enqueue(fromPg(client), {
      ...order,
      eventType: "OrderPlaced",
      payload: { id, totalCents: 100 * n },
    });
  });
  await inTransaction(async (client) => {
    await client.query("update orders set status = 'packed' where id = $1", [id]);
    await enqueue(fromPg(client), { ...order, eventType: "OrderPacked", payload: { id } });
  });
}
await pool.end();
console.log("10 orders placed and packed");
