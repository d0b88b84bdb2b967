/**
 * A relay on a schedule, as a process: it publishes at ticks alone, keeps its leases while it rests,
 * and says which ticks were skipped (a run was still open) and missed (the process was stopped).
 */
import pg from "pg";
import { afterEach, describe, expect, inject, it } from "vitest";
import { RemovalGate } from "../support/gate.ts";
import { type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";
import { judgeDeliveries } from "../support/order.ts";
import { type LogLine, RelayProcess } from "../support/relay-process.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";
import { writeConcurrently } from "../support/writers.ts";

const leaseTtlMs = 2_500;

/** A relay with a tick every second, on a database and a topic of its own. */
async function onSchedule(
  work: (relay: RelayProcess, database: MigratedDatabase, topic: string) => Promise<void>,
): Promise<void> {
  const brokers = inject("kafkaBrokers");
  const database = await migratedDatabase();
  const topic = uniqueTopic("schedule");
  await createTopics(brokers, [{ topic, partitions: 3 }]);
  const relay = new RelayProcess({
    DATABASE_URL: database.url,
    KAFKA_BROKERS: brokers,
    OUTRIDER_SCHEDULE: "* * * * * *",
    OUTRIDER_LEASE_TTL_MS: String(leaseTtlMs),
    OUTRIDER_LEASE_RENEW_MS: "300",
    OUTRIDER_LOG_LEVEL: "debug",
  });
  await relay.heard("relay-started");
  await work(relay, database, topic);
  expect((await relay.end("SIGTERM")).code).toBe(0);
  await database.drop();
}

/** Resolves once the query answers true. */
async function until(url: string, condition: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  for (;;) {
    const { rows } = await client.query<{ holds: boolean }>(`select (${condition}) as holds`);
    if (rows[0]?.holds === true) break;
  }
  await client.end();
}

/** Names of the events between two runs of a schedule. */
function saidAtRest(lines: readonly LogLine[]): string[] {
  let isOpen = false;
  const said: string[] = [];
  for (const { event } of lines) {
    if (event === "dispatch-started") isOpen = true;
    else if (event === "dispatch-finished") isOpen = false;
    else if (!isOpen && event !== undefined) said.push(event);
  }
  return said;
}

describe("a relay on a schedule", () => {
  afterEach(() => RelayProcess.endAll());

  it("publishes everything in order, at ticks alone, and keeps its leases while it rests", () =>
    onSchedule(async (relay, database, topic) => {
      const seed = Math.floor(Math.random() * 1e6);
      const load = { url: database.url, writers: 6, events: 600, aggregates: 20, holdMsMax: 20, topic, seed };
      const written = await writeConcurrently(load);
      await until(database.url, "not exists (select from undispatched_events)");
      const known = new Set(relay.lines);
      await relay.heard("dispatch-finished", (line) => !known.has(line));
      const received = await readTopic(inject("kafkaBrokers"), topic);
      const verdict = judgeDeliveries(
        written,
        received.map(({ key, headers }) => ({ aggregateId: String(key), eventId: String(headers.event_id) })),
      );
      const runs = relay.lines.filter(({ event }) => event === "dispatch-finished");
      console.log(`seed ${seed}: ${written.length} events in ${runs.length} runs`);
      expect(verdict).toEqual({ missing: 0, phantom: 0, inversions: 0, duplicates: 0 });
      expect(runs.reduce((sum, { events }) => sum + Number(events), 0)).toBe(written.length);
      const atRest = saidAtRest(relay.lines);
      expect(atRest).not.toContain("polled");
      expect(atRest).not.toContain("batch-published");
      expect(atRest).not.toContain("batch-removed");
      const lost = relay.lines.flatMap(({ event, lost }) => (event === "leases-changed" ? lost : []));
      expect(lost).toEqual([]);
    }));

  it("skips the ticks that come while a run is open, and says so once", () =>
    onSchedule(async (relay, database, topic) => {
      const gate = await RemovalGate.install(database.url);
      await gate.shut();
      const client = new pg.Client({ connectionString: database.url });
      await client.connect();
      await client.query(
        "insert into undispatched_events (aggregate_id, event_payload, topic) values ('a', '{}', $1)",
        [topic],
      );
      await gate.caught();
      await relay.heard("dispatch-skipped");
      await gate.open();
      const finished = await relay.heard("dispatch-finished", ({ events }) => events === 1);
      expect(Number(finished.skipped)).toBeGreaterThan(0);
      const skips = relay.lines.filter(({ event }) => event === "dispatch-skipped");
      expect(skips).toMatchObject([{ level: "warn" }]);
      expect(relay.lines.filter(({ msg }) => msg?.includes("overlap"))).toEqual([]);
      await client.end();
      await gate.uninstall();
    }));

  it("says which ticks it has missed, and goes on with the next", () =>
    onSchedule(async (relay, database, topic) => {
      await relay.heard("dispatch-finished");
      relay.signal("SIGSTOP");
      // Nobody renews now: two ticks at least have passed by when this is true.
      await until(
        database.url,
        "(select bool_and(expires_at < clock_timestamp()) from outrider_shard_leases)",
      );
      relay.signal("SIGCONT");
      const missed = await relay.heard("dispatch-missed");
      expect(missed.level).toBe("warn");
      expect(Number(missed.ticks)).toBeGreaterThan(0);
      const client = new pg.Client({ connectionString: database.url });
      await client.connect();
      await client.query(
        "insert into undispatched_events (aggregate_id, event_payload, topic) values ('a', '{}', $1)",
        [topic],
      );
      await relay.heard("dispatch-finished", ({ events }) => events === 1);
      await client.end();
    }));
});
