/** TLS, SCRAM and ACLs with a real Kafka: what gets in, what is refused, and what is lost (nothing). */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { kafkaPasswordCanary, type SecuredKafka, startSecuredKafka } from "../support/secured-kafka.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

let kafka: SecuredKafka;
let database: MigratedDatabase;
let client: pg.Client;
let topic: string;

beforeAll(async () => {
  kafka = await startSecuredKafka();
});
beforeEach(async () => {
  database = await migratedDatabase();
  client = new pg.Client(database.url);
  await client.connect();
  topic = uniqueTopic("secured");
  await createTopics(kafka.adminBrokers, [{ topic, partitions: 2 }]);
});
afterEach(async () => {
  await RelayProcess.endAll();
  await client.end();
  await database.drop();
});
afterAll(() => kafka?.stop());

const relayWith = (settings: Readonly<Record<string, string>> = {}): RelayProcess =>
  new RelayProcess({
    DATABASE_URL: database.url,
    KAFKA_BROKERS: kafka.good,
    OUTRIDER_KAFKA_TLS: "true",
    OUTRIDER_KAFKA_CA_FILE: kafka.caFile,
    OUTRIDER_KAFKA_SASL_MECHANISM: "scram-sha-512",
    OUTRIDER_KAFKA_SASL_USERNAME: kafka.username,
    OUTRIDER_KAFKA_SASL_PASSWORD: kafkaPasswordCanary,
    OUTRIDER_BLOCK_RETRY_MIN_MS: "50",
    OUTRIDER_BLOCK_RETRY_MAX_MS: "200",
    ...settings,
  });

async function write(events: number): Promise<string[]> {
  const ids = Array.from({ length: events }, () => randomUUID());
  for (const [n, id] of ids.entries())
    await client.query(
      "insert into undispatched_events (event_id, aggregate_id, event_payload, topic) values ($1, $2, '{}', $3)",
      [id, `a${n % 3}`, topic],
    );
  return ids;
}

const waiting = async (): Promise<number> =>
  (await client.query("select 1 from undispatched_events")).rowCount ?? 0;

async function drained(): Promise<void> {
  while ((await waiting()) > 0);
}

/** Once each, those of an aggregate in the order in which they were written. */
async function expectPublished(
  ids: readonly string[],
  isolation: "committed" | "uncommitted" = "uncommitted",
) {
  const records = await readTopic(kafka.adminBrokers, topic, { isolation });
  for (const lane of [0, 1, 2])
    expect(records.filter(({ key }) => key === `a${lane}`).map(({ headers }) => headers.event_id)).toEqual(
      ids.filter((_, n) => n % 3 === lane),
    );
}

describe("a relay over TLS with SCRAM-SHA-512", () => {
  it("publishes everything with WRITE on its topics (DESCRIBE comes with it) and no other right", async () => {
    await kafka.grant(`write topic ${topic}`);
    const ids = await write(30);
    const relay = relayWith();
    await drained();
    expect(await relay.end()).toEqual({ code: 0, signal: null });
    await expectPublished(ids);
  });

  it.each<[string, () => Readonly<Record<string, string>>, RegExp]>([
    [
      "another authority",
      () => ({ OUTRIDER_KAFKA_CA_FILE: kafka.otherCaFile }),
      /No TLS with Kafka .*certificate/,
    ],
    [
      "an expired certificate",
      () => ({ KAFKA_BROKERS: kafka.expired }),
      /No TLS with Kafka .*certificate has expired/,
    ],
    [
      "a certificate for another host",
      () => ({ KAFKA_BROKERS: kafka.misnamed }),
      /No TLS with Kafka .*127\.0\.0\.1 is not in the cert's list/,
    ],
    ["a wrong password", () => ({ OUTRIDER_KAFKA_SASL_PASSWORD: "wrong" }), /Kafka .* refuses the login/],
    [
      "a mechanism that is not offered",
      () => ({ OUTRIDER_KAFKA_SASL_MECHANISM: "scram-sha-256" }),
      /Kafka .* refuses the login/,
    ],
  ])("%s ends it with 78 and says why; the events stay", async (_, settings, sentence) => {
    const ids = await write(2);
    const relay = relayWith(settings());
    expect(await relay.exited).toEqual({ code: 78, signal: null });
    expect(relay.stderr).toMatch(sentence);
    expect(relay.stderr).toContain("what to do:");
    expect(relay.stderr).not.toContain(kafkaPasswordCanary);
    expect(await waiting()).toBe(ids.length);
    await expectPublished([]);
  });

  it("without TLS it does not get to the point of showing its password", async () => {
    const relay = relayWith({
      OUTRIDER_KAFKA_TLS: "false",
      OUTRIDER_KAFKA_CA_FILE: "",
      OUTRIDER_FAIL_FAST: "true",
    });
    expect(await relay.exited).toEqual({ code: 69, signal: null });
  });
});

describe("a right that is taken away while the relay runs", () => {
  it("blocks and deletes nothing; given back, everything goes on in order", async () => {
    await kafka.grant(`write topic ${topic}`);
    const before = await write(6);
    const relay = relayWith();
    await drained();
    await kafka.revoke(`write topic ${topic}`);
    const after = await write(6);
    const blocked = await relay.heard("aggregate-blocked");
    expect(blocked).toMatchObject({ level: "error", reason: "topic-unauthorized" });
    expect(blocked.msg).toContain("grant WRITE and DESCRIBE");
    await relay.heardTimes("aggregate-blocked", 5);
    expect(await waiting()).toBe(6);
    await kafka.grant(`write topic ${topic}`);
    await drained();
    expect(await relay.end()).toEqual({ code: 0, signal: null });
    await expectPublished([...before, ...after]);
  });
});

describe("exactly-once", () => {
  const rights = () =>
    [
      `write topic ${topic}`,
      "write transactionalId outrider-*",
      "read group outrider-*",
      "create topic outrider-progress",
      "read topic outrider-progress",
    ] as const;

  it("needs the rights that docs/delivery.md names, and no other", async () => {
    await kafka.grant(...rights());
    const ids = await write(30);
    const relay = relayWith({ OUTRIDER_DELIVERY: "exactly-once" });
    await drained();
    expect(await relay.end()).toEqual({ code: 0, signal: null });
    await expectPublished(ids, "committed");
    await kafka.revoke(...rights());
  });

  it.each([
    "write transactionalId outrider-*",
    "read group outrider-*",
    "read topic outrider-progress",
  ] as const)("without %s it publishes nothing, deletes nothing and says so", async (missing) => {
    await kafka.grant(...rights());
    await kafka.revoke(missing);
    await write(3);
    const relay = relayWith({ OUTRIDER_DELIVERY: "exactly-once", OUTRIDER_FAIL_FAST: "true" });
    const said = await relay.heard("broker-lost").then(
      ({ message }) => `${message}`,
      () => relay.stderr,
    );
    expect(said).toMatch(/authorized/);
    expect(await waiting()).toBe(3);
    await relay.end("SIGKILL");
    expect(await readTopic(kafka.adminBrokers, topic, { isolation: "committed" })).toEqual([]);
    await kafka.revoke(...rights());
  });
});
