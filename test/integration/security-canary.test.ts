/**
 * Neither a payload nor a secret reaches a line of any log, whatever goes wrong. Canaries sit in every
 * place that must stay private, and every line that any process wrote is searched for them, at the level
 * `debug`, in the spellings that a password takes on its way.
 */
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { runOutrider } from "../support/outrider-command.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { kafkaPasswordCanary, type SecuredKafka, startSecuredKafka } from "../support/secured-kafka.ts";
import { passwordCanary, type SecuredPostgres, startSecuredPostgres } from "../support/secured-postgres.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";

const payloadCanary = "payload-canary-4111-1111-1111-1111";
const canaries = [payloadCanary, passwordCanary, kafkaPasswordCanary];

/** The canaries that can be read in a text: as they are, as base64 at any offset, as hexadecimal. */
function canariesIn(text: string): string[] {
  const lower = text.toLowerCase();
  return canaries.filter((canary) => {
    const inBase64 = [0, 1, 2].some((offset) => {
      const encoded = Buffer.from(" ".repeat(offset) + canary).toString("base64");
      // Without the ends, which depend on what stands before and behind.
      return text.includes(encoded.slice(4, -4));
    });
    return inBase64 || lower.includes(canary) || lower.includes(Buffer.from(canary).toString("hex"));
  });
}

let postgres: SecuredPostgres;
let kafka: SecuredKafka;
let admin: pg.Client;
let environment: Readonly<Record<string, string>>;

beforeAll(async () => {
  [postgres, kafka] = await Promise.all([startSecuredPostgres(), startSecuredKafka()]);
  admin = new pg.Client(postgres.adminUrl);
  await admin.connect();
  const urlFile = join(tmpdir(), `${uniqueTopic("url")}.secret`);
  const passwordFile = join(tmpdir(), `${uniqueTopic("password")}.secret`);
  await writeFile(urlFile, `${postgres.url}\n`, { mode: 0o600 });
  await writeFile(passwordFile, `${kafkaPasswordCanary}\n`, { mode: 0o600 });
  environment = {
    DATABASE_URL_FILE: urlFile,
    OUTRIDER_DATABASE_CA_FILE: postgres.files.ca,
    OUTRIDER_DATABASE_SSLMODE: "verify-full",
    KAFKA_BROKERS: kafka.good,
    OUTRIDER_KAFKA_TLS: "true",
    OUTRIDER_KAFKA_CA_FILE: kafka.caFile,
    OUTRIDER_KAFKA_SASL_MECHANISM: "scram-sha-512",
    OUTRIDER_KAFKA_SASL_USERNAME: kafka.username,
    OUTRIDER_KAFKA_SASL_PASSWORD_FILE: passwordFile,
    OUTRIDER_LOG_LEVEL: "debug",
    OUTRIDER_REJECTED: "dead-letter",
    OUTRIDER_ATTEMPTS_MAX: "2",
    OUTRIDER_PAYLOAD_BYTES_MAX: "2000",
    OUTRIDER_BLOCK_RETRY_MIN_MS: "50",
    OUTRIDER_BLOCK_RETRY_MAX_MS: "100",
    OUTRIDER_BACKOFF_MAX_MS: "200",
    OUTRIDER_LEASE_TTL_MS: "2000",
    OUTRIDER_LEASE_RENEW_MS: "200",
  };
});
afterEach(() => RelayProcess.endAll());
afterAll(async () => {
  await admin?.end();
  await Promise.all([postgres?.stop(), kafka?.stop()]);
});

async function write(topic: string, aggregateId: string, padding = 0): Promise<void> {
  const payload = JSON.stringify({ card: payloadCanary, pad: "x".repeat(padding) });
  await admin.query(
    "insert into undispatched_events (aggregate_id, event_payload, topic, headers) values ($1, $2, $3, $4)",
    [aggregateId, payload, topic, JSON.stringify({ token: payloadCanary })],
  );
}

const saidBy = (relay: RelayProcess): string =>
  relay.lines.map((line) => JSON.stringify(line)).join("\n") + relay.stderr;

describe("the search", () => {
  it("finds a canary in each spelling, and nothing in a clean line", () => {
    for (const canary of canaries)
      for (const encoding of ["utf8", "base64", "hex"] as const)
        expect(canariesIn(`{"msg":"${Buffer.from(`ab${canary}cd`).toString(encoding)}"}`)).toEqual([canary]);
    expect(canariesIn('{"msg":"published 3 event(s)"}')).toEqual([]);
  });
});

describe("neither payload nor secret", () => {
  it("reaches the log, the command line or the environment of a relay that meets every fault", async () => {
    const [topic, missing, forbidden] = ["open", "missing", "forbidden"].map(uniqueTopic) as [
      string,
      string,
      string,
    ];
    await createTopics(kafka.adminBrokers, [
      { topic, settings: { "max.message.bytes": "1000" } },
      { topic: forbidden },
    ]);
    // Who may not even ask about a topic is not told that there is none.
    await kafka.grant(`write topic ${topic}`, `describe topic ${missing}`);
    // A trigger of the application's own, whose error carries the row in its detail, hint and context.
    await admin.query(`create function refuse() returns trigger language plpgsql as $$ begin
      raise exception 'not now' using detail = old.event_payload::text, hint = old.headers::text; end $$`);
    const relay = new RelayProcess(environment);
    await relay.heard("relay-started");

    await admin.query(
      "create trigger refusing before delete on undispatched_events for each row execute function refuse()",
    );
    await write(topic, "published");
    await relay.heard("outbox-lost", ({ message }) => /not now/.test(`${message}`));
    await admin.query("drop trigger refusing on undispatched_events");
    await relay.heard("outbox-back");

    for (const where of [missing, forbidden]) await write(where, `for ${where}`);
    await write(topic, "larger than the topic takes", 1_500);
    await write(topic, "larger than the relay takes", 5_000);
    for (const reason of ["topic-unknown", "topic-unauthorized", "message-too-large", "payload-too-large"])
      await relay.heard("event-dead-lettered", (line) => line.reason === reason);

    await admin.query("alter role relay password 'changed'");
    await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'");
    await relay.heard("lease-round-failed", ({ message }) => /authentication failed/.test(`${message}`));
    await admin.query(`alter role relay password ${pg.escapeLiteral(passwordCanary)}`);
    await write(topic, "published");
    while ((await admin.query("select 1 from undispatched_events")).rowCount !== 0);

    for (const of of ["cmdline", "environ"]) {
      // Where there is no /proc there is nothing to read.
      const text = await readFile(`/proc/${relay.pid}/${of}`, "utf8").catch(() => "");
      expect(canariesIn(text)).toEqual([]);
    }
    expect(await relay.end()).toEqual({ code: 0, signal: null });
    expect(canariesIn(saidBy(relay))).toEqual([]);
    expect(relay.lines.length).toBeGreaterThan(20);
  });

  it.each<[string, () => Readonly<Record<string, string>>]>([
    ["a wrong user", () => ({ OUTRIDER_KAFKA_SASL_USERNAME: "nobody" })],
    ["an authority that nobody knows", () => ({ OUTRIDER_KAFKA_CA_FILE: kafka.otherCaFile })],
    ["a broker that is not there", () => ({ KAFKA_BROKERS: "127.0.0.1:1", OUTRIDER_FAIL_FAST: "true" })],
    [
      "a certificate of PostgreSQL that nobody knows",
      () => ({ OUTRIDER_DATABASE_CA_FILE: postgres.files.otherCa }),
    ],
    ["a secret given twice", () => ({ DATABASE_URL: postgres.url })],
    ["a secret as the number of something", () => ({ OUTRIDER_LEASE_TTL_MS: "soon" })],
  ])("reaches what a relay says at its end: %s", async (_, settings) => {
    const relay = new RelayProcess({ ...environment, ...settings() });
    expect((await relay.exited).code).toBeGreaterThan(0);
    expect(relay.stderr).not.toBe("");
    expect(canariesIn(saidBy(relay))).toEqual([]);
  });

  it.each([
    ["config", ""],
    ["config", "--json"],
    ["status", "--json"],
    ["blocked", ""],
    ["dead-letters", "list"],
    ["migrate", ""],
  ])("reaches what a command says: outrider %s %s", async (...args) => {
    await write(uniqueTopic("waiting"), "a");
    const { stdout, stderr } = await runOutrider(args.filter(Boolean), environment);
    expect(stdout + stderr).not.toBe("");
    expect(canariesIn(stdout + stderr)).toEqual([]);
    await admin.query("delete from undispatched_events");
  });
});
