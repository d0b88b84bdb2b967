/**
 * The billing service: an invoice for every order. Its processes share the events of the group `billing`
 * (a queue); the group `shipping` has all of them, too (publish/subscribe). Start as many as you like.
 */
import { Kafka } from "kafkajs";
import { consume, fromPg, inbox } from "outrider";
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
// The lock: of two that start together, one would otherwise fail at making the same table.
await pool.query(
  "select pg_advisory_xact_lock(hashtext('invoices')); create table if not exists invoices (order_id uuid primary key, total_cents integer not null)",
);

const kafka = new Kafka({ brokers: (process.env.KAFKA_BROKERS ?? "localhost:9092").split(",") });
const billing = consume({
  consumer: kafka.consumer({ groupId: "billing", allowAutoTopicCreation: false, maxWaitTimeInMs: 500 }),
  topics: [process.env.ORDERS_TOPIC ?? "outbox.event.order"],
  handle: async (event) => {
    if (event.eventType !== "OrderPlaced") return;
    const { id, totalCents } = event.json() as { id: string; totalCents: number };
    const client = await pool.connect();
    try {
      await client.query("begin");
      await inbox.once(fromPg(client), "billing", event.eventId, async () => {
        await client.query("insert into invoices values ($1, $2)", [id, totalCents]);
      });
      await client.query("commit");
    } catch (thrown) {
      await client.query("rollback");
      throw thrown;
    } finally {
      client.release();
    }
  },
});

process.once("SIGTERM", () => void billing.stop());
await billing.start();
console.log("billing has joined its group");
await billing.finished;
await pool.end();
