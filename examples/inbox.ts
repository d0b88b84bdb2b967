/** A consumer that books every payment once, however often Kafka delivers it. */
import { Kafka } from "kafkajs";
import { fromPg, inbox } from "outrider";
import pg from "pg";

const { KAFKA_BROKERS = "localhost:9092", TOPIC = "outbox.event.payment" } = process.env;
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await pool.query("create table if not exists balances (account text primary key, cents bigint not null)");

const consumer = new Kafka({ brokers: KAFKA_BROKERS.split(",") }).consumer({ groupId: "billing" });
await consumer.connect();
await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
await consumer.run({
  // When this throws, kafkajs delivers the message again; its offset is committed only after it.
  eachMessage: async ({ message }) => {
    const { account, cents } = JSON.parse(String(message.value)) as { account: string; cents: number };
    const client = await pool.connect();
    try {
      await client.query("begin");
      const { isFirst } = await inbox.once(fromPg(client), "billing", message.headers?.event_id, () =>
        client.query(
          `insert into balances values ($1, $2)
           on conflict (account) do update set cents = balances.cents + excluded.cents`,
          [account, cents],
        ),
      );
      await client.query("commit");
      console.log(`${account}: ${isFirst ? `booked ${cents}` : "was booked before"}`);
    } catch (thrown) {
      await client.query("rollback");
      throw thrown;
    } finally {
      client.release();
    }
  },
});

process.once("SIGTERM", async () => {
  await consumer.disconnect();
  await pool.end();
});
