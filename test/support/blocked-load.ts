/** One aggregate with very many rows behind a rejected event, and a thousand others that trickle. */
import pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import { knownMigrations } from "../../src/outbox/migrator.ts";
import { PostgresOutbox } from "../../src/outbox/postgres-outbox.ts";
import { MemoryPublisher } from "./memory-publisher.ts";
import { migratedDatabase } from "./migrated-database.ts";
import { makeRelay } from "./running-relay.ts";

export interface BlockedLoad {
  /** Rows of the blocked aggregate; 0 for the comparison without a block. */
  readonly blockedRows: number;
  /** How many events of the others, and how long between two of them. */
  readonly events: number;
  readonly pauseMs: number;
  /** A sweep is asked for after every so many of them. */
  readonly eventsPerSweep: number;
}

export interface Latencies {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Longest look and claim together. */
  readonly pollMaxMs: number;
  readonly sweeps: number;
}

const at = (sorted: readonly number[], share: number): number =>
  Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 10) / 10;

/** From the insert to the publisher, over all events of the others. */
export async function measureOthers(load: BlockedLoad): Promise<Latencies> {
  const database = await migratedDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(
    `insert into undispatched_events (aggregate_id, event_payload)
     select 'blocked', json_build_object('n', n) from generate_series(1, $1) n`,
    [load.blockedRows],
  );
  await client.query("vacuum analyze undispatched_events");
  const publisher = new MemoryPublisher();
  const writtenAtMs = new Map<string, number>();
  const latencies: number[] = [];
  publisher.fateOf = ({ event }) => {
    if (event.aggregateId === "blocked") return "broker-refused";
    const startedMs = writtenAtMs.get(event.eventId);
    if (startedMs !== undefined) latencies.push(systemClock.monotonicMs() - startedMs);
    return "ack";
  };
  const outbox = new PostgresOutbox(
    database.config,
    knownMigrations().map(({ name }) => name),
  );
  const limits = {
    pollMinMs: 2,
    pollMaxMs: 25,
    batchEventsMax: 2_000,
    blockRetryMinMs: 1_000,
    blockRetryMaxMs: 5_000,
  };
  const { relay, ear, announcements } = makeRelay(outbox, publisher, { limits });
  let pollMaxMs = 0;
  await relay.start();
  if (load.blockedRows > 0) await ear.next("aggregate-blocked");
  announcements.subscribe((said) => {
    if (said.type === "polled") pollMaxMs = Math.max(pollMaxMs, said.durationMs);
  });
  for (let n = 0; n < load.events; n += 1) {
    if (n % load.eventsPerSweep === 0) relay.sweepSoon();
    const eventId = `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    writtenAtMs.set(eventId, systemClock.monotonicMs());
    await client.query(
      "insert into undispatched_events (event_id, aggregate_id, event_payload) values ($1, $2, '{}')",
      [eventId, `other-${n % 1_000}`],
    );
    await systemClock.sleep(load.pauseMs);
  }
  await ear.until(() => latencies.length >= load.events);
  await relay.stop();
  await client.end();
  await database.drop();
  const sorted = [...latencies].sort((a, b) => a - b);
  return {
    p50Ms: at(sorted, 0.5),
    p99Ms: at(sorted, 0.99),
    maxMs: at(sorted, 1),
    pollMaxMs: Math.round(pollMaxMs),
    sweeps: ear.all("swept").length,
  };
}
