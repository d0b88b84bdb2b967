/**
 * The long run: `npm run soak -- --minutes 30 --relays 3 [--seed N] [--json]`. Something breaks every few
 * seconds, and every event is accounted for as it arrives. The last line with --json is
 * {events, missing, phantom, inversions, duplicates, faults, residentMegabytes, connections, …}.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { systemClock } from "../../src/foundation/clock.ts";
import { preparedDatabase } from "../support/prepared-database.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";
import { seeded } from "../support/writers.ts";
import { Crew } from "./crew.ts";
import { History } from "./history.ts";
import { leaseLogTable } from "./lease-log.ts";
import { Ledger } from "./ledger.ts";
import { connected } from "./load.ts";
import { SoakFaults } from "./soak-faults.ts";
import { SoakReader } from "./soak-reader.ts";
import { markTable, SoakWriters } from "./soak-writers.ts";
import { Stage } from "./stage.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    relays: { type: "string", default: "3" },
    seed: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

const say = (text: string) => process.stderr.write(`${text}\n`);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
const lastMs = Number(values.minutes) * 60_000;
const relays = Number(values.relays);
const progressMs = 15_000;
const warmUpMs = 20_000;
const drainMsMax = 60_000;
/** Room for two million events. */
const ledgerPlaces = 22;

interface Measured {
  /** Of the one relay that is never killed. */
  readonly relay: number;
  readonly checker: number;
  readonly connections: number;
}

interface Run {
  readonly stage: Stage;
  readonly url: string;
  readonly topic: string;
  readonly crew: Crew;
  readonly ledger: Ledger;
}

async function measure({ url, crew }: Run): Promise<Measured> {
  const status = readFileSync(`/proc/${crew.members[0]?.process.pid}/status`, "utf8");
  const client = await connected(url, "soak checker");
  const { rows } = await client.query<{ n: number }>(
    "select count(*)::int as n from pg_stat_activity where datname = current_database() and application_name like 'outrider relay%'",
  );
  await client.end();
  return {
    relay: Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024),
    checker: Math.round(process.memoryUsage().rss / 1_048_576),
    connections: rows[0]?.n ?? 0,
  };
}

async function prepare(stage: Stage): Promise<Run & { drop(): Promise<void> }> {
  const { url, drop } = await preparedDatabase(stage.postgres.url, [markTable, leaseLogTable]);
  const topic = uniqueTopic("soak");
  await createTopics(stage.one.kafka.brokers, [{ topic, partitions: 6 }]);
  const environment = {
    DATABASE_URL: stage.throughProxy(url),
    KAFKA_BROKERS: stage.one.addresses,
    // At debug a relay says every poll, and the harness keeps what is said.
    OUTRIDER_LOG_LEVEL: "warn",
    OUTRIDER_BATCH_EVENTS_MAX: "1000",
  };
  const crew = new Crew(environment, new History());
  return { stage, url, topic, crew, ledger: new Ledger(ledgerPlaces), drop };
}

async function progress({ ledger, url }: Run, faults: SoakFaults, startedMs: number): Promise<void> {
  const client = await connected(url, "soak checker");
  const { rows } = await client.query<{ n: number }>("select count(*)::int as n from undispatched_events");
  await client.end();
  const seconds = Math.round((systemClock.monotonicMs() - startedMs) / 1000);
  const { events, missing, inversions, duplicates, phantom } = ledger;
  const rate = Math.round(events / Math.max(1, seconds));
  say(
    `${seconds} s: ${events} events (${rate}/s), ${missing} under way, ${rows[0]?.n} rows wait, ${duplicates} duplicates, ${inversions} inversions, ${phantom} phantoms, ${faults.total} faults`,
  );
}

async function soak(run: Run): Promise<object> {
  const { stage, url, topic, crew, ledger } = run;
  for (let n = 0; n < relays; n += 1) crew.start();
  const reader = await SoakReader.open(stage.one.kafka.brokers, topic, (eventId) => ledger.arrive(eventId));
  const writers = new SoakWriters({ url, topic, seed, writers: 8, rowsMax: 12, pauseMsMax: 80 }, ledger);
  await systemClock.sleep(Math.min(warmUpMs, lastMs / 3));
  const start = await measure(run);
  const startedMs = systemClock.monotonicMs();
  const faults = new SoakFaults(stage, url, crew, seeded(seed));
  while (systemClock.monotonicMs() - startedMs < lastMs) {
    await systemClock.sleep(Math.min(progressMs, lastMs));
    await progress(run, faults, startedMs);
  }
  await faults.stop();
  await stage.heal();
  await writers.stop();
  const drainedByMs = systemClock.monotonicMs() + drainMsMax;
  while (ledger.missing > 0 && systemClock.monotonicMs() < drainedByMs) await systemClock.sleep(100);
  // Whatever a relay would still double, it doubles within its time-outs.
  await systemClock.sleep(5_000);
  const end = await measure(run);
  const unclean = await crew.disband();
  await reader.close();
  const { events, missing, phantom, inversions, duplicates } = ledger;
  return {
    ...{ seed, events, missing, phantom, inversions, duplicates },
    faults: faults.counts,
    crashes: crew.crashes,
    unclean,
    residentMegabytes: { start: start.relay, end: end.relay },
    checkerMegabytes: { start: start.checker, end: end.checker },
    connections: { start: start.connections, end: end.connections },
  };
}

say(`seed ${seed}`);
const stage = await Stage.open({ flavour: "ours", onProgress: (text) => say(`${text} ...`) });
try {
  const run = await prepare(stage);
  const result = await soak(run);
  say(JSON.stringify(result, undefined, 2));
  if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  const { missing, phantom, inversions } = run.ledger;
  process.exitCode = missing + phantom + inversions + run.crew.crashes === 0 ? 0 : 1;
  await run.drop();
} finally {
  await RelayProcess.endAll();
  await stage.close();
}
// A kafkajs consumer that is restarted on failure goes on trying when its broker is gone.
process.exit();
