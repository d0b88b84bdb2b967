/** The relay as a process between a real PostgreSQL and a real Kafka: starting, stopping, bad rows, outages. */
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { RemovalGate } from "../support/gate.ts";
import { type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";
import { judgeDeliveries } from "../support/order.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";
import { writeConcurrently } from "../support/writers.ts";

const brokers = inject("kafkaBrokers");

async function emptied(client: pg.Client, left = 0): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ n: number }>("select count(*)::int as n from undispatched_events");
    if (rows[0]?.n === left) return;
  }
}

describe("relay process", () => {
  let database: MigratedDatabase;
  let client: pg.Client;

  beforeEach(async () => {
    database = await migratedDatabase();
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
  });

  afterEach(async () => {
    await RelayProcess.endAll();
    await client.end();
    await database.drop();
  });

  const environment = (more: Record<string, string> = {}) => ({
    DATABASE_URL: database.url,
    KAFKA_BROKERS: brokers,
    OUTRIDER_BLOCK_RETRY_MIN_MS: "50",
    OUTRIDER_BLOCK_RETRY_MAX_MS: "200",
    ...more,
  });
  const insert = (topic: string, aggregateId: string, more: { payload?: string; headers?: string } = {}) =>
    client.query(
      "insert into undispatched_events (aggregate_id, event_payload, topic, headers) values ($1, $2, $3, $4)",
      [aggregateId, more.payload ?? "{}", topic, more.headers ?? null],
    );

  it("publishes what concurrent transactions commit, and stops cleanly on SIGTERM: nothing doubled", async () => {
    const topic = uniqueTopic("clean-stop");
    await createTopics(brokers, [{ topic, partitions: 4 }]);
    const writing = writeConcurrently({
      url: database.url,
      writers: 8,
      events: 3_000,
      aggregates: 30,
      holdMsMax: 5,
      topic,
      seed: 7,
    });
    for (let turn = 0; turn < 3; turn += 1) {
      const relay = new RelayProcess(
        environment({ OUTRIDER_LOG_LEVEL: "debug", OUTRIDER_BATCH_EVENTS_MAX: "50" }),
      );
      await relay.heard("batch-published");
      expect(await relay.end("SIGTERM")).toEqual({ code: 0, signal: null });
      expect(relay.lines.at(-1)?.event).toBe("relay-stopped");
    }
    const written = await writing;
    const relay = new RelayProcess(environment());
    await emptied(client);
    await relay.end();
    const received = await readTopic(brokers, topic);
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
  });

  it("exits at once on the second signal, while the first one still waits for a removal", async () => {
    const topic = uniqueTopic("second-signal");
    await createTopics(brokers, [{ topic, partitions: 1 }]);
    const gate = await RemovalGate.install(database.url);
    const relay = new RelayProcess(environment());
    await relay.heard("relay-started");
    await gate.shut();
    await insert(topic, "a");
    const waiting = await gate.caught();
    relay.signal("SIGTERM");
    await relay.heard("relay-stopping");
    relay.signal("SIGINT");
    expect(await relay.exited).toEqual({ code: 130, signal: null });
    await gate.open(waiting);
    await gate.uninstall();
    await client.query("delete from undispatched_events");
  });

  it("waits for Kafka and for PostgreSQL, saying so once, and needs no restart", async () => {
    const relay = new RelayProcess(
      environment({ DATABASE_URL: "postgres://nobody@127.0.0.1:1/nowhere", KAFKA_BROKERS: "127.0.0.1:1" }),
    );
    expect((await relay.heard("outbox-lost")).msg).toMatch(/waiting for PostgreSQL/);
    expect((await relay.end("SIGTERM")).code).toBe(0);
    expect(relay.lines.filter(({ event }) => event === "outbox-lost")).toHaveLength(1);
  });

  it("exits with 69 when asked to fail fast", async () => {
    const relay = new RelayProcess(
      environment({ DATABASE_URL: "postgres://nobody@127.0.0.1:1/nowhere", OUTRIDER_FAIL_FAST: "true" }),
    );
    expect((await relay.exited).code).toBe(69);
    expect(relay.stderr).toMatch(/PostgreSQL is not available/);
  });

  it("survives the loss of all its PostgreSQL connections and doubles nothing", async () => {
    const topic = uniqueTopic("terminated");
    await createTopics(brokers, [{ topic, partitions: 2 }]);
    const relay = new RelayProcess(environment({ OUTRIDER_LOG_LEVEL: "debug" }));
    await relay.heard("relay-started");
    const load = { url: database.url, writers: 4, aggregates: 10, holdMsMax: 3, topic };
    const written = [];
    for (let turn = 0; turn < 3; turn += 1) {
      const writing = writeConcurrently({ ...load, events: 300, seed: 11 + turn });
      const seen = relay.lines.length;
      await client.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'outrider relay%'",
      );
      await relay.heard("batch-removed", (line) => relay.lines.indexOf(line) >= seen);
      written.push(...(await writing));
    }
    await emptied(client);
    expect((await relay.end()).code).toBe(0);
    const delivered = (await readTopic(brokers, topic)).map(({ key, headers }) => ({
      aggregateId: String(key),
      eventId: String(headers.event_id),
    }));
    expect(judgeDeliveries(written, delivered)).toMatchObject({
      missing: 0,
      phantom: 0,
      inversions: 0,
      duplicates: 0,
    });
  });

  it("gives every bad row a documented outcome while the others flow", async () => {
    const topic = uniqueTopic("bad-rows");
    const missing = uniqueTopic("missing");
    await createTopics(brokers, [{ topic, partitions: 2 }]);
    const relay = new RelayProcess(environment());
    await relay.heard("relay-started");
    await insert(topic, "");
    await insert(topic, "large", { payload: JSON.stringify("x".repeat(20_000_000)) });
    await insert(topic, "too-large-for-the-broker", { payload: JSON.stringify("y".repeat(2_000_000)) });
    await insert("not a topic", "illegal-topic");
    await insert(topic, "headers", { headers: '{"n":1}' });
    await insert(missing, "missing-topic");
    for (const aggregateId of ["large", "illegal-topic", "headers", "missing-topic", "fine"])
      await insert(topic, aggregateId);
    await insert(topic, "unicode", { payload: '{"a" : "\\u0000 \u{1f680} \\ud800",  "a":1}' });
    await emptied(client, 10);
    const reasons = new Map<string, unknown>();
    for (const aggregateId of [
      "",
      "large",
      "too-large-for-the-broker",
      "illegal-topic",
      "headers",
      "missing-topic",
    ]) {
      const line = await relay.heard("aggregate-blocked", (said) => said.aggregateId === aggregateId);
      reasons.set(aggregateId, line.reason);
    }
    expect(Object.fromEntries(reasons)).toEqual({
      "": "aggregate-id-invalid",
      large: "payload-too-large",
      "too-large-for-the-broker": "message-too-large",
      "illegal-topic": "topic-invalid",
      headers: "headers-invalid",
      "missing-topic": "topic-unknown",
    });
    const received = await readTopic(brokers, topic);
    expect(received.map(({ key }) => String(key)).sort()).toEqual(["fine", "unicode"]);
    expect(String(received.find(({ key }) => String(key) === "unicode")?.value)).toBe(
      '{"a" : "\\u0000 \u{1f680} \\ud800",  "a":1}',
    );
    await createTopics(brokers, [{ topic: missing, partitions: 1 }]);
    await relay.heard("aggregate-unblocked", ({ aggregateId }) => aggregateId === "missing-topic");
    await client.query(
      "delete from undispatched_events where aggregate_id = '' or aggregate_id like 'too-large%' or event_payload::text like '\"xxx%'",
    );
    await client.query("update undispatched_events set topic = $1, headers = null", [topic]);
    await emptied(client);
    expect((await relay.end()).code).toBe(0);
    expect(relay.lines.filter(({ level }) => level === "fatal")).toEqual([]);
  });
});

describe("relay process refuses to start", () => {
  const run = async (environment: Record<string, string>) => {
    const relay = new RelayProcess({ KAFKA_BROKERS: brokers, ...environment });
    const { code } = await relay.exited;
    return { code, said: relay.stderr };
  };
  const withDatabase = async (spoil: string, work: (url: string) => Promise<void>) => {
    const database = await migratedDatabase();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(spoil);
    try {
      await work(database.url);
    } finally {
      await client.end();
      await database.drop();
    }
  };

  it("with all faults of its settings at once, and no stack trace", async () => {
    const { code, said } = await run({
      DATABASE_URL: "mysql://x",
      OUTRIDER_BATCH_EVENTS_MAX: "many",
      OUTRIDER_FENCE: "loose",
    });
    expect(code).toBe(78);
    for (const variable of ["DATABASE_URL", "OUTRIDER_BATCH_EVENTS_MAX", "OUTRIDER_FENCE"])
      expect(said).toContain(variable);
    expect(said).not.toMatch(/\n\s+at /);
  });

  it.each([
    ["no table", "drop table undispatched_events", /outrider migrate/],
    ["an UNLOGGED table", "alter table undispatched_events set unlogged", /set logged/],
    ["no index", "drop index undispatched_events_order", /create index concurrently/],
    [
      "a newer schema",
      "insert into outrider_migrations (name, checksum) values ('9999_future', 'x')",
      /9999_future/,
    ],
  ])("on %s, with the statement that repairs it", async (_, spoil, repair) => {
    await withDatabase(spoil, async (url) => {
      const { code, said } = await run({ DATABASE_URL: url });
      expect(said).toMatch(repair);
      expect(code).toBe(78);
    });
  });

  it("as a role without rights, and as one that row security hides rows from", async () => {
    const role = `poor_${Date.now()}`;
    const spoil = `create role ${role} login password 'secret-word'; grant connect on database postgres to ${role}`;
    await withDatabase(spoil, async (url) => {
      const poor = new URL(url);
      poor.username = role;
      poor.password = "secret-word";
      const { code, said } = await run({ DATABASE_URL: poor.href });
      expect(said).toMatch(/grant select, delete/);
      expect(said).not.toContain("secret-word");
      expect(code).toBe(78);
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(
        `grant select, delete on undispatched_events to ${role}; alter table undispatched_events enable row level security`,
      );
      expect((await run({ DATABASE_URL: poor.href })).said).toMatch(/row security hides rows/);
      await client.query(`drop owned by ${role}; drop role ${role}`);
      await client.end();
    });
  });

  it("with a database that does not exist", async () => {
    await withDatabase("select 1", async (url) => {
      const wrong = new URL(url);
      wrong.pathname = "/no_such_database";
      const { code, said } = await run({ DATABASE_URL: wrong.href });
      expect(said).toMatch(/DATABASE_URL/);
      expect(code).toBe(78);
    });
  });

  it("but only warns of a setting that it does not know", async () => {
    const relay = new RelayProcess({
      DATABASE_URL: "postgres://nobody@127.0.0.1:1/x",
      KAFKA_BROKERS: brokers,
      OUTRIDER_BATCH_EVENT_MAX: "5",
    });
    await relay.heard("outbox-lost");
    expect(relay.lines[0]).toMatchObject({
      level: "warn",
      msg: expect.stringContaining("OUTRIDER_BATCH_EVENT_MAX"),
    });
    await relay.end();
  });
});
