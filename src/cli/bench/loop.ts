/**
 * The loop that one writes in an afternoon: select 1,000 in order, send, delete; again. It has no fence, so it
 * loses the order of transactions that overlap; no lease, so there must be one of it; and it sends again whatever
 * was sent before a crash. It stands here to be measured against.
 */
import { Kafka, logLevel } from "kafkajs";
import type { Clock } from "../../foundation/clock.ts";
import { clientConfigOf } from "../../publisher/kafka-options.ts";
import { repairKafkajs } from "../../publisher/kafkajs-repairs.ts";
import { type Environment, kafkaOptionsOf, parseSettings } from "../../service/config.ts";
import { connectTo } from "../trial/scratch-database.ts";

const eventsMax = 1_000;

interface Row {
  readonly event_id: string;
  readonly aggregate_id: string;
  readonly created_at: string;
  readonly event_payload: string;
}

/** Until it is ended by a signal. Polls an empty table as often as a relay of these settings. */
export async function runLoop(environment: Environment, clock: Clock): Promise<never> {
  const { settings } = parseSettings(environment);
  const options = kafkaOptionsOf(settings);
  repairKafkajs();
  const kafka = new Kafka({ ...clientConfigOf(options, options.brokers), logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const client = await connectTo(environment);
  const table = `${settings.schema}.undispatched_events`;
  // Whoever writes this loop has an index for it; the outbox's own begins with the shard.
  await client.query(`create index on ${table} (created_at, seq)`);
  process.stdout.write(`${JSON.stringify({ level: "info", event: "loop-started" })}\n`);
  for (;;) {
    // The columns have a name: a bare created_at in "order by" would be the text, and every row would be sorted.
    const { rows } = await client.query<Row>(
      `select event_id, aggregate_id, created_at::text, event_payload::text from ${table} as o
        order by o.created_at, o.seq limit ${eventsMax}`,
    );
    if (rows.length === 0) {
      await clock.sleep(settings.pollMaxMs);
      continue;
    }
    const messages = rows.map(({ event_id, aggregate_id, created_at, event_payload }) => ({
      key: aggregate_id,
      value: event_payload,
      headers: { event_id, created_at },
    }));
    await producer.sendBatch({
      acks: -1,
      topicMessages: [{ topic: settings.topicDefault, messages }],
    });
    await client.query(`delete from ${table} where event_id = any ($1::uuid[])`, [
      rows.map(({ event_id }) => event_id),
    ]);
  }
}
