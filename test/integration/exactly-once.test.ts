/**
 * Exactly-once delivery with real processes: relays are killed at random moments, and a reader of
 * committed records must see every event once, in order. The same topic read with all the records of
 * aborted transactions shows that there was something to hide.
 */
import pg from "pg";
import { afterEach, describe, expect, inject, it } from "vitest";
import { migratedDatabase } from "../support/migrated-database.ts";
import { judgeDeliveries, type Truth } from "../support/order.ts";
import { startProxiedKafka } from "../support/proxied-kafka.ts";
import { kafkaApis } from "../support/proxy.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";
import { seeded, writeConcurrently } from "../support/writers.ts";

const kills = 8;

describe("exactly-once delivery", () => {
  afterEach(() => RelayProcess.endAll());

  it(`shows every event once, in order, over ${kills} kills at random moments`, {
    timeout: 120_000,
  }, async () => {
    const seed = Math.floor(Math.random() * 1e6);
    const random = seeded(seed);
    const brokers = inject("kafkaBrokers");
    const database = await migratedDatabase();
    const topic = uniqueTopic("exactly-once");
    await createTopics(brokers, [{ topic, partitions: 6 }]);
    const start = () =>
      new RelayProcess({
        DATABASE_URL: database.url,
        KAFKA_BROKERS: brokers,
        OUTRIDER_DELIVERY: "exactly-once",
        OUTRIDER_LOG_LEVEL: "debug",
        OUTRIDER_BATCH_EVENTS_MAX: "50",
        OUTRIDER_LEASE_TTL_MS: "1000",
        OUTRIDER_LEASE_RENEW_MS: "200",
      });
    const load = { url: database.url, writers: 8, aggregates: 40, holdMsMax: 5, topic };
    const written: Truth[] = [];
    let relay = start();
    for (let kill = 0; kill < kills; kill += 1) {
      const writing = writeConcurrently({ ...load, events: 300, seed: seed + kill });
      const after = 1 + Math.floor(random() * 12);
      await Promise.race([relay.heardTimes("batch-published", after), writing]);
      await relay.end("SIGKILL");
      written.push(...(await writing));
      relay = start();
    }
    await emptied(database.url);
    expect((await relay.end("SIGTERM")).code).toBe(0);
    const judged = async (isolation: "committed" | "uncommitted") => {
      const received = await readTopic(brokers, topic, { isolation });
      const delivered = received.map(({ key, headers }) => ({
        aggregateId: String(key),
        eventId: String(headers.event_id),
      }));
      return judgeDeliveries(written, delivered);
    };
    const all = await judged("uncommitted");
    console.log(`seed ${seed}: ${written.length} events, ${kills} kills, ${all.duplicates} records aborted`);
    expect(await judged("committed")).toEqual({ missing: 0, phantom: 0, inversions: 0, duplicates: 0 });
    await database.drop();
  });

  it("starts, and takes over, while the transaction of a dead relay is still open", {
    timeout: 120_000,
  }, async () => {
    const proxied = await startProxiedKafka();
    const database = await migratedDatabase();
    const topic = uniqueTopic("left-open");
    await createTopics(proxied.direct, [{ topic, partitions: 6 }]);
    const start = () =>
      new RelayProcess({
        DATABASE_URL: database.url,
        KAFKA_BROKERS: proxied.brokers.join(","),
        OUTRIDER_DELIVERY: "exactly-once",
        OUTRIDER_LOG_LEVEL: "debug",
        OUTRIDER_LEASE_TTL_MS: "1000",
        OUTRIDER_LEASE_RENEW_MS: "200",
        // Nobody but the next owner ends it while this test runs.
        OUTRIDER_KAFKA_TRANSACTION_TIMEOUT_MS: "600000",
      });
    const load = { url: database.url, writers: 4, aggregates: 20, holdMsMax: 5, topic, seed: 1 };
    const first = start();
    const written = await writeConcurrently({ ...load, events: 50 });
    await emptied(database.url);
    const held = proxied.proxy.holdNextRequest({ apiKey: kafkaApis.endTxn });
    written.push(...(await writeConcurrently({ ...load, events: 50, seed: 2 })));
    await held.happened;
    await first.end("SIGKILL");
    held.drop();
    const second = start();
    // Batches of the other groups may be committed, with their rows still there.
    await second.heard("batch-resolved", ({ isCommitted }) => isCommitted === false);
    await emptied(database.url);
    expect((await second.end("SIGTERM")).code).toBe(0);
    const received = await readTopic(proxied.direct, topic, { isolation: "committed" });
    const delivered = received.map(({ key, headers }) => ({
      aggregateId: String(key),
      eventId: String(headers.event_id),
    }));
    expect(judgeDeliveries(written, delivered)).toEqual({
      missing: 0,
      phantom: 0,
      inversions: 0,
      duplicates: 0,
    });
    await database.drop();
    await proxied.stop();
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
