/**
 * What a relay is held against, each in a process of its own, told by one message what to do:
 *
 *     client     the Kafka client alone: the same messages, from memory, several batches under way
 *     postgres   PostgreSQL alone: the rows read in order and deleted, nobody told of them
 *     loop       what is written in an afternoon: select 1,000 in order, send, delete; again
 */
import { Kafka, logLevel, type Producer } from "kafkajs";
import pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import { repairKafkajs } from "../../src/publisher/kafkajs-repairs.ts";
import { machineMs } from "./machine-clock.ts";
import type { Backlog, Place } from "./stage.ts";

export type ReferenceKind = "client" | "postgres" | "loop";

export interface ReferenceOrder {
  readonly kind: ReferenceKind;
  readonly place: Place;
  /** The loop goes on for ever without one. */
  readonly backlog?: Backlog;
}

export interface ReferenceDone {
  readonly seconds: number;
}

interface Row {
  readonly event_id: string;
  readonly aggregate_id: string;
  readonly created_at: string;
  readonly event_payload: string;
  readonly ctid: string;
}

const batchEvents = 2_000;
const batchesUnderWay = 4;
const loopEvents = 1_000;
/** As long as an idle relay waits between two polls. */
const loopPauseMs = 10;

/** The table has a name here because a bare `created_at` in `order by` means the text: every row sorted, no index. */
const selection = `select ctid::text, event_id, aggregate_id, created_at::text, event_payload::text
  from undispatched_events as o`;

const messageOf = ({ event_id, aggregate_id, created_at, event_payload }: Row) => ({
  key: aggregate_id,
  value: event_payload,
  headers: { event_id, created_at },
});

async function producerOf({ brokers }: Place): Promise<Producer> {
  repairKafkajs();
  const kafka = new Kafka({ brokers: brokers.split(","), clientId: "reference", logLevel: logLevel.ERROR });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  return producer;
}

async function clientOf({ databaseUrl }: Place): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: "reference" });
  await client.connect();
  return client;
}

async function sendAll(place: Place, { events, aggregates, payloadBytes }: Backlog): Promise<number> {
  const producer = await producerOf(place);
  const rows = Array.from({ length: events }, (_, n) => ({
    event_id: `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`,
    aggregate_id: `aggregate-${n % aggregates}`,
    created_at: "2026-01-01 00:00:00.000000+00",
    event_payload: `{"n":${n},"pad":"`.padEnd(payloadBytes - 2, "x").concat('"}'),
    ctid: "(0,0)",
  }));
  process.send?.("started");
  const startedMs = machineMs();
  let next = 0;
  const sender = async () => {
    while (next < events) {
      const batch = rows.slice(next, next + batchEvents);
      next += batchEvents;
      await producer.sendBatch({
        acks: -1,
        topicMessages: [{ topic: place.topic, messages: batch.map(messageOf) }],
      });
    }
  };
  await Promise.all(Array.from({ length: batchesUnderWay }, sender));
  const endedMs = machineMs();
  await producer.disconnect();
  return endedMs - startedMs;
}

async function readAndDelete(place: Place, { events }: Backlog): Promise<number> {
  const client = await clientOf(place);
  process.send?.("started");
  const startedMs = machineMs();
  for (let done = 0; done < events; ) {
    const { rows } = await client.query<Row>(
      `${selection} order by o.shard, o.created_at, o.seq limit ${batchEvents}`,
    );
    await client.query("delete from undispatched_events where ctid = any ($1::tid[])", [
      rows.map(({ ctid }) => ctid),
    ]);
    done += rows.length;
  }
  const endedMs = machineMs();
  await client.end();
  return endedMs - startedMs;
}

async function loop(place: Place, events: number): Promise<number> {
  const client = await clientOf(place);
  // Whoever writes this loop has an index for it; the outbox's own begins with the shard.
  await client.query("create index on undispatched_events (created_at, seq)");
  const producer = await producerOf(place);
  process.send?.("started");
  const startedMs = machineMs();
  for (let done = 0; done < events; ) {
    const { rows } = await client.query<Row>(`${selection} order by o.created_at, o.seq limit ${loopEvents}`);
    if (rows.length === 0) {
      await systemClock.sleep(loopPauseMs);
      continue;
    }
    await producer.sendBatch({
      acks: -1,
      topicMessages: [{ topic: place.topic, messages: rows.map(messageOf) }],
    });
    await client.query("delete from undispatched_events where event_id = any ($1::uuid[])", [
      rows.map(({ event_id }) => event_id),
    ]);
    done += rows.length;
  }
  const endedMs = machineMs();
  await Promise.all([client.end(), producer.disconnect()]);
  return endedMs - startedMs;
}

function run({ kind, place, backlog }: ReferenceOrder): Promise<number> {
  if (kind === "loop" || backlog === undefined)
    return loop(place, backlog?.events ?? Number.POSITIVE_INFINITY);
  return kind === "client" ? sendAll(place, backlog) : readAndDelete(place, backlog);
}

process.once("message", (order) => {
  run(order as ReferenceOrder)
    .then((ms) => process.send?.({ seconds: ms / 1000 } satisfies ReferenceDone, () => process.exit(0)))
    .catch((error) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    });
});
