/**
 * The long run: relays, a steady load, and a random fault every few seconds, for as long as asked.
 * `npm run soak -- --minutes 30 --relays 3 --rate 650 --seed N --json`. What counts is the end: nothing
 * missing, nothing out of order, and memory and connections where they were at the beginning.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { databaseConfig } from "../support/migrated-database.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";
import { seeded } from "../support/writers.ts";
import { Crew } from "./crew.ts";
import { auditedBy, recordsIn } from "./evidence.ts";
import { History } from "./history.ts";
import { judge } from "./judge.ts";
import { auditTable, connected, insertAudited } from "./load.ts";
import { Stage } from "./stage.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    relays: { type: "string", default: "3" },
    rate: { type: "string", default: "650" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 1e6)) },
    json: { type: "boolean", default: false },
  },
});
const minutes = Number(values.minutes);
const eventsPerSecond = Number(values.rate);
const seed = Number(values.seed);
const writers = 4;
const eventsPerTransaction = 10;
const aggregates = 500;
/** A minute for the relays to reach their working size, then memory is compared with that of the end. */
const settledMs = 60_000;

const say = (text: string) => process.stderr.write(`${text}\n`);

interface Ground {
  readonly stage: Stage;
  readonly crew: Crew;
  readonly client: pg.Client;
  readonly url: string;
  readonly topic: string;
}

/** Keeps its share of the rate on average; a writer that PostgreSQL threw out connects again. */
async function write(ground: Ground, number: number, signal: AbortSignal): Promise<void> {
  const random = seeded(seed * 100 + number);
  const everyMs = (1_000 * eventsPerTransaction * writers) / eventsPerSecond;
  let client: pg.Client | undefined;
  let dueMs = systemClock.monotonicMs();
  while (!signal.aborted) {
    try {
      client ??= await connected(ground.url, `soak writer ${number}`);
      await writeOnce(client, ground.topic, random);
    } catch {
      // Whether that commit counted is what the audit table says.
      client?.end().catch(() => undefined);
      client = undefined;
    }
    dueMs += everyMs;
    await systemClock.sleep(Math.max(0, dueMs - systemClock.monotonicMs()), signal);
  }
  await client?.end();
}

async function writeOnce(client: pg.Client, topic: string, random: () => number): Promise<void> {
  const rows = Array.from({ length: eventsPerTransaction }, () => Math.floor(random() * aggregates));
  await client.query("begin");
  await client.query(insertAudited, [
    rows.map(() => randomUUID()),
    rows.map((aggregate) => `aggregate-${aggregate}`),
    rows.map((aggregate) => JSON.stringify({ aggregate, pad: "x".repeat(200) })),
    topic,
  ]);
  if (random() < 0.3) await client.query("select pg_sleep($1)", [random() * 0.03]);
  await client.query(random() < 0.05 ? "rollback" : "commit");
}

type Fault = (ground: Ground, random: () => number) => Promise<string>;

/** The first relay is never killed, so that there is one whose memory can be followed. */
const faults: readonly Fault[] = [
  async ({ crew }, random) => {
    const victim = crew.alive.at(1 + Math.floor(random() * (crew.alive.length - 1)));
    if (victim === undefined || victim === crew.alive[0]) return "nobody to kill";
    await crew.kill(victim);
    await crew.hire();
    return `kill -9 ${victim.name}`;
  },
  async ({ crew }, random) => {
    const victim = crew.alive.at(Math.floor(random() * crew.alive.length));
    victim?.process.signal("SIGSTOP");
    await systemClock.sleep(1_000 + random() * 4_000);
    victim?.process.signal("SIGCONT");
    return `paused ${victim?.name}`;
  },
  async ({ client }) => {
    await client.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'outrider relay%'",
    );
    return "terminated the relays' backends";
  },
  async ({ stage }) => {
    stage.postgresProxy.cut();
    return "cut all connections to PostgreSQL";
  },
  async ({ stage }) => {
    for (const proxy of stage.one.proxies) proxy.cut();
    return "cut all connections to Kafka";
  },
  async ({ stage }, random) => {
    for (const proxy of stage.one.proxies) proxy.blackHole("down");
    await systemClock.sleep(500 + random() * 3_000);
    for (const proxy of stage.one.proxies) {
      proxy.cut();
      await proxy.heal();
    }
    return "Kafka's answers went nowhere";
  },
];

async function hurt(ground: Ground, signal: AbortSignal): Promise<number> {
  const random = seeded(seed);
  let count = 0;
  while (!signal.aborted) {
    await systemClock.sleep(5_000 + random() * 15_000, signal);
    if (signal.aborted) break;
    const fault = faults[Math.floor(random() * faults.length)];
    const what = await fault?.(ground, random);
    count += 1;
    say(`  fault ${count}: ${what}`);
  }
  return count;
}

interface Sample {
  readonly residentMegabytes: number;
  readonly connections: number;
}

async function sample({ crew, client }: Ground): Promise<Sample> {
  const pid = crew.alive[0]?.process.pid ?? 0;
  const resident = readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+) kB/)?.[1];
  const { rows } = await client.query<{ n: number }>(
    "select count(*)::int as n from pg_stat_activity where application_name like 'outrider relay%'",
  );
  return { residentMegabytes: Math.round(Number(resident) / 1024), connections: rows[0]?.n ?? -1 };
}

async function follow(ground: Ground, signal: AbortSignal): Promise<void> {
  const startedMs = systemClock.monotonicMs();
  while (!signal.aborted) {
    await systemClock.sleep(30_000, signal);
    const { rows } = await ground.client.query<{ committed: string; waiting: string }>(
      "select (select count(*) from fault_audit) as committed, (select count(*) from undispatched_events) as waiting",
    );
    const { residentMegabytes, connections } = await sample(ground);
    const minute = ((systemClock.monotonicMs() - startedMs) / 60_000).toFixed(1);
    say(
      `${minute} min: ${rows[0]?.committed} committed, ${rows[0]?.waiting} wait, ${residentMegabytes} MB, ${connections} connections`,
    );
  }
}

async function drain({ client }: Ground): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + 120_000;
  while (systemClock.monotonicMs() < deadlineMs) {
    const { rows } = await client.query("select 1 from undispatched_events limit 1");
    if (rows.length === 0) return;
    await systemClock.sleep(200);
  }
}

async function soak(ground: Ground): Promise<object> {
  await ground.crew.hireMany(Number(values.relays));
  const ending = new AbortController();
  const { signal } = ending;
  const writing = Promise.all(Array.from({ length: writers }, (_, n) => write(ground, n, signal)));
  const hurting = hurt(ground, signal);
  const following = follow(ground, signal);
  await systemClock.sleep(Math.min(settledMs, minutes * 30_000));
  const start = await sample(ground);
  await systemClock.sleep(minutes * 60_000 - Math.min(settledMs, minutes * 30_000));
  ending.abort();
  const [count] = await Promise.all([hurting, writing, following]);
  await drain(ground);
  const end = await sample(ground);
  const troubles = await ground.crew.disband();
  say("reading everything back ...");
  const verdict = judge(
    await auditedBy(ground.client),
    await recordsIn(ground.stage.one.kafka.brokers, ground.topic),
  );
  return {
    minutes,
    relays: Number(values.relays),
    seed,
    faults: count,
    crashes: ground.crew.crashes,
    ...verdict,
    residentMegabytes: { start: start.residentMegabytes, end: end.residentMegabytes },
    connections: { start: start.connections, end: end.connections },
    troubles,
  };
}

async function main(): Promise<void> {
  say(`soak of ${minutes} minutes, seed ${seed}`);
  const stage = await Stage.open({ flavour: "ours", onProgress: say });
  const { url } = stage.postgres;
  const client = await connect(databaseConfig(url, { statementTimeoutMs: 300_000 }));
  try {
    await migrate(client, { schema: "public", direction: "up" });
    await client.query(auditTable);
    const topic = uniqueTopic("soak");
    await createTopics(stage.one.kafka.brokers, [{ topic, partitions: 12 }]);
    const crew = new Crew(
      {
        DATABASE_URL: stage.throughProxy(url),
        KAFKA_BROKERS: stage.one.addresses,
        OUTRIDER_LOG_LEVEL: "info",
      },
      new History(),
    );
    const figures = await soak({ stage, crew, client, url, topic });
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    const { missing, inversions, phantom } = figures as {
      missing: number;
      inversions: number;
      phantom: number;
    };
    if (missing + inversions + phantom > 0) process.exitCode = 1;
  } finally {
    await client.end();
    await stage.close();
  }
}

await main();
