/**
 * Every page of a real relay process, in fair weather, while Kafka is down, while PostgreSQL is down, while
 * it drains, and before it has reached anything; and what the metrics count on the way.
 */
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { sampleOf } from "../support/exposition.ts";
import { RemovalGate } from "../support/gate.ts";
import { type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";
import { ObservedRelay } from "../support/observed-relay.ts";
import { type ProxiedKafka, startProxiedKafka } from "../support/proxied-kafka.ts";
import { startProxy, type TcpProxy } from "../support/proxy.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";

const allOk = { "/livez": 200, "/readyz": 200, "/startupz": 200, "/metrics": 200, "/version": 200 };

describe("the pages of a relay", () => {
  let kafka: ProxiedKafka;
  let database: MigratedDatabase;
  let client: pg.Client;
  let postgres: TcpProxy;
  let topic: string;

  beforeAll(async () => {
    kafka = await startProxiedKafka();
  });

  afterAll(() => kafka.stop());

  beforeEach(async () => {
    database = await migratedDatabase();
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
    postgres = await startProxy({ protocol: "postgres", target: new URL(database.url).host });
    topic = uniqueTopic("observed");
    await createTopics(kafka.direct, [{ topic, partitions: 2 }]);
  });

  afterEach(async () => {
    await RelayProcess.endAll();
    await kafka.proxy.heal();
    await postgres.close();
    await client.end();
    await database.drop();
  });

  /** Notices soon that a part is away; where none is, a busy machine is not to be taken for an outage. */
  const impatient = {
    OUTRIDER_DATABASE_STATEMENT_TIMEOUT_MS: "500",
    OUTRIDER_DATABASE_CONNECT_TIMEOUT_MS: "500",
    OUTRIDER_KAFKA_REQUEST_TIMEOUT_MS: "500",
    OUTRIDER_KAFKA_CONNECT_TIMEOUT_MS: "500",
  };

  function start(more: Record<string, string> = {}, timeouts: Record<string, string> = impatient) {
    const url = new URL(database.url);
    url.host = postgres.address;
    return ObservedRelay.start({
      DATABASE_URL: url.href,
      KAFKA_BROKERS: kafka.brokers.join(","),
      ...timeouts,
      OUTRIDER_BACKOFF_MAX_MS: "100",
      OUTRIDER_LOG_LEVEL: "debug",
      ...more,
    });
  }

  const insert = (events: number) =>
    client.query(
      "insert into undispatched_events (aggregate_id, event_payload, topic) select 'a-' || n % 7, '{}', $1 from generate_series(1, $2::int) n",
      [topic, events],
    );

  it("answer, and count what was published", async () => {
    const relay = await start({ OUTRIDER_STATISTICS_CRON: "* * * * * *" }, {});
    await relay.process.heard("relay-started");
    await insert(300);
    await relay.process.heard("batch-removed");
    let removed = 0;
    while (removed < 300) {
      removed = relay.process.lines.reduce(
        (sum, { event, events }) => (event === "batch-removed" ? sum + Number(events) : sum),
        0,
      );
      await relay.statuses();
    }
    const known = new Set(relay.process.lines);
    await relay.process.heard("backlog-counted", (line) => !known.has(line));
    expect(await relay.statuses()).toEqual(allOk);
    const metrics = await relay.metrics();
    expect(sampleOf(metrics, "outrider_events_published_total", { topic })).toBe(300);
    expect(sampleOf(metrics, "outrider_events_removed_total")).toBe(300);
    expect(sampleOf(metrics, "outrider_delivery_latency_seconds_count")).toBe(300);
    expect(sampleOf(metrics, "outrider_delivery_latency_seconds_bucket", { le: "60" })).toBe(300);
    expect(sampleOf(metrics, "outrider_backlog_events")).toBe(0);
    expect(sampleOf(metrics, "outrider_leases_held")).toBe(64);
    expect(sampleOf(metrics, "outrider_ready")).toBe(1);
    expect(JSON.parse((await relay.read("/version")).body)).toMatchObject({ name: "outrider", version: /./ });
    expect(await relay.read("/readyz")).toMatchObject({ body: "ok\n", type: "text/plain; charset=utf-8" });
    expect((await relay.read("/metrics", "POST")).status).toBe(405);
    expect((await relay.read("/settings")).status).toBe(404);
    expect((await relay.process.end()).code).toBe(0);
  });

  it("answer while Kafka is down: alive, not ready, and ready again afterwards", async () => {
    const relay = await start();
    await relay.process.heard("relay-started");
    await kafka.proxy.refuse();
    kafka.proxy.cut();
    await insert(50);
    await relay.process.heard("broker-lost");
    expect(await relay.statuses()).toEqual({ ...allOk, "/readyz": 503 });
    expect((await relay.read("/readyz")).body).toBe("failing: broker (away)\n");
    expect(await relay.checks("/readyz")).toMatchObject({ outbox: { ok: true }, broker: { ok: false } });
    const down = await relay.metrics();
    expect(sampleOf(down, "outrider_broker_up")).toBe(0);
    expect(sampleOf(down, "outrider_outbox_up")).toBe(1);
    expect(sampleOf(down, "outrider_outages_total", { of: "broker" })).toBe(1);
    await kafka.proxy.heal();
    await relay.until("/readyz", 200);
    await relay.process.heard("batch-removed");
    const up = await relay.metrics();
    expect(sampleOf(up, "outrider_broker_up")).toBe(1);
    expect(sampleOf(up, "outrider_events_published_total", { topic })).toBe(50);
    expect(sampleOf(up, "outrider_events_resent_total", { topic })).toBe(50);
  });

  it("stay ready while Kafka is down where only the outbox is needed, and say that it is down", async () => {
    const relay = await start({ OUTRIDER_READY_NEEDS: "outbox" });
    await relay.process.heard("relay-started");
    await kafka.proxy.refuse();
    kafka.proxy.cut();
    await insert(1);
    await relay.process.heard("broker-lost");
    expect(await relay.statuses()).toEqual(allOk);
    expect(await relay.checks("/readyz")).toMatchObject({ broker: { ok: true, state: "away" } });
  });

  it("answer while PostgreSQL is down: alive, not ready, and ready again afterwards", async () => {
    const relay = await start();
    await relay.process.heard("relay-started");
    await postgres.refuse();
    postgres.cut();
    await relay.process.heard("outbox-lost");
    expect(await relay.statuses()).toEqual({ ...allOk, "/readyz": 503 });
    expect((await relay.read("/readyz")).body).toBe("failing: outbox (away)\n");
    expect(sampleOf(await relay.metrics(), "outrider_outbox_up")).toBe(0);
    await postgres.heal();
    await relay.until("/readyz", 200);
    expect(sampleOf(await relay.metrics(), "outrider_outbox_up")).toBe(1);
  });

  it("answer before PostgreSQL was ever reached: alive, not started, not ready", async () => {
    await postgres.refuse();
    const relay = await start();
    await relay.answers();
    await relay.process.heard("outbox-lost");
    expect(await relay.statuses()).toEqual({ ...allOk, "/readyz": 503, "/startupz": 503 });
    expect(await relay.checks("/readyz")).toMatchObject({ outbox: { state: "not reached yet" } });
    await postgres.accept();
    await relay.until("/startupz", 200);
    await relay.until("/readyz", 200);
  });

  it("answer while the relay drains: alive, not ready; gone with the process", async () => {
    const gate = await RemovalGate.install(database.url);
    const relay = await start({ OUTRIDER_DATABASE_STATEMENT_TIMEOUT_MS: "30000" });
    await relay.process.heard("relay-started");
    await gate.shut();
    await insert(10);
    await gate.caught();
    relay.process.signal("SIGTERM");
    await relay.process.heard("relay-stopping");
    expect(await relay.statuses()).toEqual({ ...allOk, "/readyz": 503 });
    expect((await relay.read("/readyz")).body).toBe("failing: stopping (stopping)\n");
    await gate.open();
    expect((await relay.process.exited).code).toBe(0);
    await expect(relay.read("/livez")).rejects.toThrow();
    await gate.close();
  });

  it("refuses to start where another process listens, and says which setting to change", async () => {
    const first = await start();
    await first.process.heard("relay-started");
    const port = new URL(first.origin).port;
    const second = new RelayProcess({
      DATABASE_URL: database.url,
      KAFKA_BROKERS: inject("kafkaBrokers"),
      OUTRIDER_HTTP_PORT: port,
    });
    expect((await second.exited).code).toBe(78);
    expect(second.stderr).toContain(
      `cannot listen on 127.0.0.1, port ${port}: another process listens there`,
    );
    expect(second.stderr).toContain("OUTRIDER_HTTP_PORT");
    expect(second.lines.some(({ event }) => event === "relay-started")).toBe(false);
  });
});
