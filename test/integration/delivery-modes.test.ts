/** The delivery modes side by side, with real processes: at most once under kills, and a fleet that changes. */
import pg from "pg";
import { afterEach, describe, expect, inject, it } from "vitest";
import { migratedDatabase } from "../support/migrated-database.ts";
import { judgeDeliveries, type Truth } from "../support/order.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";
import { seeded, writeConcurrently } from "../support/writers.ts";

type Mode = "at-least-once" | "at-most-once" | "exactly-once";

interface Field {
  readonly url: string;
  start(mode: Mode): RelayProcess;
  write(events: number, seed: number): Promise<Truth[]>;
  judge(written: readonly Truth[], isolation?: "committed" | "uncommitted"): ReturnType<typeof verdictOf>;
}

async function verdictOf(topic: string, written: readonly Truth[], isolation: "committed" | "uncommitted") {
  const received = await readTopic(inject("kafkaBrokers"), topic, { isolation });
  const arrived = received.map(({ headers }) => String(headers.event_id));
  const delivered = received.map(({ key, headers }) => ({
    aggregateId: String(key),
    eventId: String(headers.event_id),
  }));
  return { ...judgeDeliveries(written, delivered), arrived: new Set(arrived) };
}

async function inField(work: (field: Field) => Promise<void>): Promise<void> {
  const brokers = inject("kafkaBrokers");
  const database = await migratedDatabase();
  const topic = uniqueTopic("modes");
  await createTopics(brokers, [{ topic, partitions: 4 }]);
  const environment = {
    DATABASE_URL: database.url,
    KAFKA_BROKERS: brokers,
    OUTRIDER_LOG_LEVEL: "debug",
    OUTRIDER_BATCH_EVENTS_MAX: "50",
    OUTRIDER_LEASE_TTL_MS: "1000",
    OUTRIDER_LEASE_RENEW_MS: "200",
  };
  const load = { url: database.url, writers: 6, aggregates: 30, holdMsMax: 3, topic };
  try {
    await work({
      url: database.url,
      start: (mode) => new RelayProcess({ ...environment, OUTRIDER_DELIVERY: mode }),
      write: (events, seed) => writeConcurrently({ ...load, events, seed }),
      judge: (written, isolation = "uncommitted") => verdictOf(topic, written, isolation),
    });
  } finally {
    await RelayProcess.endAll();
    await database.drop();
  }
}

/** Resolves when the outbox is empty; asks again and again, each question taking its own time. */
async function emptied(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  for (;;) {
    const { rows } = await client.query("select 1 from undispatched_events limit 1");
    if (rows.length === 0) break;
  }
  await client.end();
}

const idsIn = (relays: readonly RelayProcess[], event: string): string[] =>
  relays
    .flatMap(({ lines }) => lines.filter((line) => line.event === event))
    .flatMap(({ eventIds }) => eventIds as string[]);

describe("delivery modes", () => {
  afterEach(() => RelayProcess.endAll());

  it("at-most-once doubles nothing under kills, and reports whatever is lost", { timeout: 120_000 }, () =>
    inField(async ({ url, start, write, judge }) => {
      const seed = Math.floor(Math.random() * 1e6);
      const random = seeded(seed);
      const written: Truth[] = [];
      const relays = [start("at-most-once")];
      for (let kill = 0; kill < 5; kill += 1) {
        const writing = write(300, seed + kill);
        const relay = relays.at(-1) as RelayProcess;
        await Promise.race([relay.heardTimes("batch-removed", 1 + Math.floor(random() * 12)), writing]);
        await relay.end("SIGKILL");
        written.push(...(await writing));
        relays.push(start("at-most-once"));
      }
      await emptied(url);
      expect((await relays.at(-1)?.end("SIGTERM"))?.code).toBe(0);
      const { arrived, missing, ...verdict } = await judge(written);
      const reported = new Set([...idsIn(relays, "batch-in-doubt"), ...idsIn(relays, "events-dropped")]);
      const lost = written.filter(({ eventId }) => !arrived.has(eventId));
      console.log(`seed ${seed}: ${written.length} events, ${missing} lost, ${reported.size} reported`);
      expect(verdict).toEqual({ phantom: 0, inversions: 0, duplicates: 0 });
      expect(lost.filter(({ eventId }) => !reported.has(eventId))).toEqual([]);
    }),
  );

  it("a fleet changes its mode under load: nothing is lost, the order holds", { timeout: 120_000 }, () =>
    inField(async ({ url, start, write, judge }) => {
      const seed = Math.floor(Math.random() * 1e6);
      const writing = write(2_500, seed);
      let fleet = [start("at-least-once"), start("at-least-once")];
      await Promise.all(fleet.map((relay) => relay.heardTimes("batch-published", 3)));
      for (const mode of ["exactly-once", "at-least-once", "exactly-once"] as const) {
        const next: RelayProcess[] = [];
        for (const relay of fleet) {
          expect((await relay.end("SIGTERM")).code).toBe(0);
          const started = start(mode);
          await started.heard("relay-started");
          next.push(started);
        }
        fleet = next;
      }
      const written = await writing;
      await emptied(url);
      for (const relay of fleet) expect((await relay.end("SIGTERM")).code).toBe(0);
      const { arrived: _, ...verdict } = await judge(written, "committed");
      console.log(`seed ${seed}: ${written.length} events`);
      // Every stop was clean, so not even the change itself doubles anything.
      expect(verdict).toEqual({ missing: 0, phantom: 0, inversions: 0, duplicates: 0 });
    }),
  );
});
