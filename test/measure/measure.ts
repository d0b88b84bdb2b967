/**
 * Figures that are no tests: what an idle relay costs, what a large backlog costs in memory, what a poll
 * reads when vacuum is held back, what the inbox holds and costs, what the consumer's lanes bring, and what a
 * scrape under load brings.
 * `npm run measure -- idle | backlog | dead-tuples | inbox | consumer | scrape [--minutes 10]`; the last line is
 * one JSON object.
 */
import { readFileSync } from "node:fs";
import pg from "pg";
import { startKafka, startPostgres } from "../../src/environment/environment.ts";
import { beginning, isoOfMicros } from "../../src/event/position.ts";
import { allShards } from "../../src/event/shard.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { anySlot, claimStatement } from "../../src/outbox/statements.ts";
import { databaseConfig } from "../support/migrated-database.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";
import { consumer } from "./consumer.ts";
import { measureInbox } from "./inbox.ts";
import { measureScrape } from "./scrape.ts";

/** `getconf CLK_TCK` on every Linux that Node.js runs on. */
const ticksPerSecond = 100;

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function memoryMegabytes(pid: number, which: "VmRSS" | "VmHWM"): number {
  const line = readFileSync(`/proc/${pid}/status`, "utf8").match(new RegExp(`${which}:\\s+(\\d+) kB`));
  return Math.round(Number(line?.[1] ?? 0) / 1024);
}

interface Parts {
  readonly url: string;
  readonly brokers: string;
  readonly client: pg.Client;
}

async function emptied(client: pg.Client): Promise<void> {
  while ((await client.query("select 1 from undispatched_events limit 1")).rows.length > 0) {
    await systemClock.sleep(100);
  }
}

async function idle({ url, brokers, client }: Parts): Promise<object> {
  const topic = uniqueTopic("idle");
  await createTopics(brokers, [{ topic, partitions: 3 }]);
  const relay = new RelayProcess({ DATABASE_URL: url, KAFKA_BROKERS: brokers });
  await relay.heard("relay-started");
  await client.query(
    "insert into undispatched_events (aggregate_id, event_payload, topic) values ('a', '{}', $1)",
    [topic],
  );
  await emptied(client);
  await systemClock.sleep(5_000);
  const before = cpuSeconds(relay.pid);
  await systemClock.sleep(30_000);
  const cpu = cpuSeconds(relay.pid) - before;
  const residentMegabytes = memoryMegabytes(relay.pid, "VmRSS");
  await relay.end();
  return { idleSeconds: 30, cpuSeconds: Number(cpu.toFixed(2)), residentMegabytes };
}

async function backlog({ url, brokers, client }: Parts): Promise<object> {
  const events = 1_000_000;
  const topic = uniqueTopic("backlog");
  await createTopics(brokers, [{ topic, partitions: 8 }]);
  const chunk = 50_000;
  for (let from = 1; from <= events; from += chunk) {
    await client.query(
      `insert into undispatched_events (aggregate_id, event_payload, topic)
       select 'aggregate-' || n % 1000, json_build_object('n', n, 'pad', repeat('x', 250)), $1 from generate_series($2::int, $3::int) n`,
      [topic, from, from + chunk - 1],
    );
  }
  await client.query("vacuum analyze undispatched_events");
  const relay = new RelayProcess({ DATABASE_URL: url, KAFKA_BROKERS: brokers });
  await relay.heard("relay-started");
  const startedMs = systemClock.monotonicMs();
  await emptied(client);
  const seconds = (systemClock.monotonicMs() - startedMs) / 1000;
  const peakResidentMegabytes = memoryMegabytes(relay.pid, "VmHWM");
  const relayMicrosPerEvent = Math.round((cpuSeconds(relay.pid) / events) * 1e6);
  await relay.end();
  return {
    events,
    peakResidentMegabytes,
    eventsPerSecond: Math.round(events / seconds),
    relayMicrosPerEvent,
  };
}

interface Plan {
  readonly "Shared Hit Blocks": number;
  readonly "Shared Read Blocks": number;
}

async function explainClaim(client: pg.Client, cursor: { createdAt: string; seq: string }, fence: number) {
  const { rows } = await client.query<{ "QUERY PLAN": [{ Plan: Plan; "Execution Time": number }] }>(
    `explain (analyze, buffers, format json) ${claimStatement("undispatched_events", "json")}`,
    [
      allShards,
      allShards.map(() => cursor.createdAt),
      allShards.map(() => cursor.seq),
      allShards.map(() => isoOfMicros(fence)),
      2000,
      2000,
      4_000_000,
      8_000_000,
      allShards.map(() => anySlot),
    ],
  );
  const [explained] = rows[0]?.["QUERY PLAN"] ?? [];
  if (explained === undefined) throw new Error("PostgreSQL explained nothing");
  const { Plan: plan, "Execution Time": ms } = explained;
  return { buffers: plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], ms: Math.round(ms * 100) / 100 };
}

async function deadTuples({ url, client }: Parts): Promise<object> {
  const snapshot = new pg.Client({ connectionString: url });
  await snapshot.connect();
  await snapshot.query("begin isolation level repeatable read");
  await snapshot.query("select count(*) from undispatched_events");
  await client.query(
    "insert into undispatched_events (aggregate_id, event_payload) select 'a-' || n % 500, '{}' from generate_series(1, 300000) n",
  );
  await client.query("delete from undispatched_events");
  await client.query("vacuum undispatched_events");
  const { rows } = await client.query<{ micros: string }>(
    "select (extract(epoch from clock_timestamp()) * 1e6)::bigint as micros",
  );
  const floor = Number(rows[0]?.micros);
  await client.query(
    "insert into undispatched_events (aggregate_id, event_payload) select 'a-' || n, '{}' from generate_series(1, 100) n",
  );
  const fence = floor + 3_600_000_000;
  const withCursor = { createdAt: isoOfMicros(floor), seq: "0" };
  // Twice each, and the second counts: the first reading sets hint bits.
  await explainClaim(client, beginning, fence);
  const without = await explainClaim(client, beginning, fence);
  await explainClaim(client, withCursor, fence);
  const cursor = await explainClaim(client, withCursor, fence);
  await snapshot.query("rollback");
  await snapshot.end();
  return { deadRows: 300_000, liveRows: 100, withCursor: cursor, withoutCursor: without };
}

const measurements: Readonly<Record<string, (parts: Parts) => Promise<object>>> = {
  idle,
  backlog,
  "dead-tuples": deadTuples,
  inbox: measureInbox,
  consumer,
  scrape: measureScrape,
};

async function main(): Promise<void> {
  const name = process.argv[2] ?? "";
  const measurement = measurements[name];
  if (measurement === undefined) {
    process.stderr.write(`say which: ${Object.keys(measurements).join(", ")}\n`);
    process.exitCode = 2;
    return;
  }
  const postgres = await startPostgres();
  const kafka = await startKafka();
  const client = await connect(databaseConfig(postgres.url));
  try {
    await migrate(client, { schema: "public", direction: "up" });
    const figures = await measurement({ url: postgres.url, brokers: kafka.brokers.join(","), client });
    process.stdout.write(`${JSON.stringify({ measurement: name, node: process.version, ...figures })}\n`);
  } finally {
    await client.end();
    await kafka.stop();
    await postgres.stop();
  }
}

await main();
