/**
 * A consumer as an application would write it, made to be killed: kafkajs, one transaction an event,
 * offsets committed behind the transactions. With `INBOX=off` it is the same consumer without an inbox.
 */
import { Kafka, logLevel } from "kafkajs";
import pg from "pg";
import { fromPg, inbox } from "../../src/index.ts";
import { bookingOf, consumerName, effectStatement } from "./inbox-bookings.ts";

const { DATABASE_URL = "", KAFKA_BROKERS = "", TOPIC = "", GROUP = "", INBOX = "on" } = process.env;
/** So many messages lie between two commits of an offset; what a crash repeats. */
const commitEvery = 200;
const reportEvery = 50;

const client = new pg.Client({ connectionString: DATABASE_URL });
await client.connect();

let handled = 0;
let skipped = 0;

async function handle(value: Buffer | null, eventId: Buffer | string | undefined): Promise<void> {
  const { account, amount } = bookingOf(String(value));
  const work = () => client.query(effectStatement, [String(eventId), account, amount]);
  await client.query("begin");
  if (INBOX === "off") await work();
  else if (!(await inbox.once(fromPg(client), consumerName, eventId, work)).isFirst) skipped += 1;
  await client.query("commit");
  handled += 1;
  if (handled % reportEvery === 0) process.send?.({ handled, skipped });
}

const kafka = new Kafka({ brokers: KAFKA_BROKERS.split(","), logLevel: logLevel.NOTHING });
const consumer = kafka.consumer({
  groupId: GROUP,
  sessionTimeout: 6_000,
  heartbeatInterval: 500,
  rebalanceTimeout: 6_000,
  maxWaitTimeInMs: 100,
  maxBytesPerPartition: 100_000,
});
await consumer.connect();
await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
await consumer.run({
  autoCommitThreshold: commitEvery,
  eachBatchAutoResolve: false,
  eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isRunning, isStale }) => {
    for (const { value, headers, offset } of batch.messages) {
      if (!isRunning() || isStale()) return;
      const header = headers?.event_id;
      await handle(value, Array.isArray(header) ? header[0] : header);
      resolveOffset(offset);
      await commitOffsetsIfNecessary();
      await heartbeat();
    }
    process.send?.({ handled, skipped });
  },
});
