/**
 * The relay dies with SIGKILL between the broker's ack and the delete: the worst moment there is.
 * Twenty times under load. Nothing may be missing, first occurrences stay in order, and what is
 * doubled is at most what was in flight: two batches a kill.
 */
import pg from "pg";
import { afterEach, describe, expect, inject, it } from "vitest";
import { RemovalGate } from "../support/gate.ts";
import { migratedDatabase } from "../support/migrated-database.ts";
import { judgeDeliveries } from "../support/order.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";
import { writeConcurrently } from "../support/writers.ts";

const kills = 20;
const batchEventsMax = 200;

describe("kill -9 between ack and delete", () => {
  afterEach(() => RelayProcess.endAll());

  it(`loses nothing and keeps first occurrences in order, ${kills} times under load`, {
    timeout: 240_000,
  }, async () => {
    const seed = Math.floor(Math.random() * 1e6);
    const brokers = inject("kafkaBrokers");
    const database = await migratedDatabase();
    const topic = uniqueTopic("kill");
    await createTopics(brokers, [{ topic, partitions: 6 }]);
    const gate = await RemovalGate.install(database.url);
    const start = () =>
      new RelayProcess({
        DATABASE_URL: database.url,
        KAFKA_BROKERS: brokers,
        OUTRIDER_BATCH_EVENTS_MAX: String(batchEventsMax),
        // The next relay has to wait for the leases of the dead one.
        OUTRIDER_LEASE_TTL_MS: "1000",
        OUTRIDER_LEASE_RENEW_MS: "200",
      });
    let relay = start();
    await relay.heard("relay-started");
    const load = { url: database.url, writers: 8, aggregates: 40, holdMsMax: 5, topic };
    const written = [];
    for (let kill = 0; kill < kills; kill += 1) {
      const writing = writeConcurrently({ ...load, events: 400, seed: seed + kill });
      await gate.shut();
      const waiting = await gate.caught();
      await relay.end("SIGKILL");
      written.push(...(await writing));
      await gate.open(waiting);
      relay = start();
      await relay.heard("relay-started");
    }
    await emptied(database.url);
    expect((await relay.end("SIGTERM")).code).toBe(0);
    const received = await readTopic(brokers, topic);
    const verdict = judgeDeliveries(
      written,
      received.map(({ key, headers }) => ({ aggregateId: String(key), eventId: String(headers.event_id) })),
    );
    console.log(`seed ${seed}: ${written.length} events, ${kills} kills, ${verdict.duplicates} duplicates`);
    expect(verdict).toMatchObject({ missing: 0, phantom: 0, inversions: 0 });
    expect(verdict.duplicates).toBeGreaterThan(0);
    expect(verdict.duplicates).toBeLessThanOrEqual(kills * 2 * batchEventsMax);
    await gate.close();
    await database.drop();
  });
});

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
