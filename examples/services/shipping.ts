/**
 * The shipping service: follows every order step by step. An event that cannot be handled after five
 * attempts goes to a dead-letter topic, so that the later steps of its order are not held up; a database
 * that is away does not count.
 */
import { Kafka, Partitioners } from "kafkajs";
import { consume, fromPg, inbox, type PoisonedEvent } from "outrider";
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
// The lock: of two that start together, one would otherwise fail at making the same table.
await pool.query(
  "select pg_advisory_xact_lock(hashtext('shipment_steps')); create table if not exists shipment_steps (step bigserial primary key, order_id uuid not null, event_type text)",
);

const kafka = new Kafka({ brokers: (process.env.KAFKA_BROKERS ?? "localhost:9092").split(",") });
const producer = kafka.producer({
  allowAutoTopicCreation: false,
  createPartitioner: Partitioners.DefaultPartitioner,
});
await producer.connect();

const shipping = consume({
  consumer: kafka.consumer({ groupId: "shipping", allowAutoTopicCreation: false, maxWaitTimeInMs: 500 }),
  topics: [process.env.ORDERS_TOPIC ?? "outbox.event.order"],
  concurrency: 8,
  handle: async (event) => {
    const client = await pool.connect();
    try {
      await client.query("begin");
      await inbox.once(fromPg(client), "shipping", event.eventId, async () => {
        await client.query("insert into shipment_steps (order_id, event_type) values ($1, $2)", [
          event.aggregateId,
          event.eventType,
        ]);
      });
      await client.query("commit");
    } catch (thrown) {
      await client.query("rollback");
      throw thrown;
    } finally {
      client.release();
    }
  },
  poisoned: {
    policy: "park",
    attemptsMax: 5,
    isTransient: (thrown) => thrown instanceof Error && "code" in thrown && isAway(String(thrown.code)),
    onPoisoned: ({ message, error }: PoisonedEvent) =>
      producer.send({
        topic: "shipping.dead-letters",
        acks: -1,
        messages: [{ ...message, headers: { ...message.headers, error: String(error) } }],
      }),
  },
});

/** The connection failed, or PostgreSQL is short of something or shutting down (classes 08, 53 and 57). */
function isAway(code: string): boolean {
  return /^(08|53|57)...$/.test(code) || code.startsWith("ECONN");
}

process.once("SIGTERM", () => void shipping.stop());
await shipping.start();
console.log("shipping has joined its group");
await shipping.finished;
await producer.disconnect();
await pool.end();
