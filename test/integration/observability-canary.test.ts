/**
 * Payloads, headers and secrets with a canary in them go through a real relay that publishes, is refused,
 * gives up and is locked out; then everything it wrote and showed is searched. The same search finds what
 * may be there, so it can find.
 */
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";
import { ObservedRelay, pagePaths } from "../support/observed-relay.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";

const payloadCanary = "canary-in-payload-4711";
const headerCanary = "canary-in-header-4712";
const secretCanary = "canary@in secret/4713";

const spellings = (secret: string) => [
  secret,
  encodeURIComponent(secret),
  JSON.stringify(secret).slice(1, -1),
];
const forbidden = [payloadCanary, headerCanary, ...spellings(secretCanary)];

/** Which of the texts stand in what the relay wrote and showed. */
async function foundIn(relay: ObservedRelay, texts: readonly string[]): Promise<string[]> {
  const paths = pagePaths.flatMap((path) => [path, `${path}?verbose`]);
  const pages = await Promise.all(paths.map(async (path) => (await relay.read(path)).body));
  const said = [...pages, relay.process.stderr, JSON.stringify(relay.process.lines)].join("\n");
  return texts.filter((text) => said.includes(text));
}

describe("what a relay writes and shows", () => {
  const brokers = inject("kafkaBrokers");
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

  /** The database as a role whose password is the canary. */
  async function asCanaryRole(): Promise<{ url: string; role: string }> {
    const url = new URL(database.url);
    const role = `canary_${url.pathname.slice(-12)}`;
    await client.query(`create role ${role} superuser login password '${secretCanary}'`);
    url.username = role;
    url.password = encodeURIComponent(secretCanary);
    return { url: url.href, role };
  }

  it("holds no payload, no header and no password, whatever happens to the events", async () => {
    const { url, role } = await asCanaryRole();
    const [topic, small] = [uniqueTopic("canary"), uniqueTopic("canary-small")];
    await createTopics(brokers, [{ topic }, { topic: small, settings: { "max.message.bytes": "2000" } }]);
    const relay = await ObservedRelay.start({
      DATABASE_URL: url,
      KAFKA_BROKERS: brokers,
      OUTRIDER_REJECTED: "dead-letter",
      OUTRIDER_ATTEMPTS_MAX: "2",
      OUTRIDER_BLOCK_RETRY_MIN_MS: "10",
      OUTRIDER_BLOCK_RETRY_MAX_MS: "20",
      OUTRIDER_LOG_LEVEL: "debug",
      OUTRIDER_STATISTICS_CRON: "* * * * * *",
    });
    const insert = (aggregateId: string, to: string, bytes = 0) =>
      client.query(
        "insert into undispatched_events (aggregate_id, event_payload, topic, headers) values ($1, $2, $3, $4)",
        [
          aggregateId,
          JSON.stringify({ secret: payloadCanary, pad: payloadCanary.repeat(bytes / payloadCanary.length) }),
          to,
          { note: headerCanary },
        ],
      );
    await insert("fine", topic);
    await insert("too-large", small, 50_000);
    await insert("nowhere", uniqueTopic("canary-missing"));
    await insert("misnamed", "no topic name");
    for (const aggregateId of ["too-large", "nowhere", "misnamed"])
      await relay.process.heard("event-dead-lettered", (line) => line.aggregateId === aggregateId);
    await relay.process.heard("backlog-counted");
    expect(await foundIn(relay, forbidden)).toEqual([]);
    expect(await foundIn(relay, ["too-large", topic, "event-dead-lettered"])).toHaveLength(3);
    expect((await relay.process.end()).code).toBe(0);
    await client.query(`drop role ${role}`);
  });

  it("holds no password when nothing can be reached, or nobody is let in", async () => {
    const { url, role } = await asCanaryRole();
    const nobody = new URL(url);
    nobody.host = "127.0.0.1:1";
    const away = await ObservedRelay.start({ DATABASE_URL: nobody.href, KAFKA_BROKERS: brokers });
    await away.process.heard("outbox-lost");
    expect(await foundIn(away, forbidden)).toEqual([]);

    const refused = await ObservedRelay.start({
      DATABASE_URL: url,
      KAFKA_BROKERS: brokers,
      OUTRIDER_KAFKA_SASL_MECHANISM: "plain",
      OUTRIDER_KAFKA_SASL_USERNAME: "relay",
      OUTRIDER_KAFKA_SASL_PASSWORD: secretCanary,
      OUTRIDER_LOG_LEVEL: "debug",
    });
    expect((await refused.process.exited).code).toBe(78);
    const said = refused.process.stderr + JSON.stringify(refused.process.lines);
    expect(said).toContain("refuses the login");
    expect(forbidden.filter((text) => said.includes(text))).toEqual([]);
    await RelayProcess.endAll();
    await client.query(`drop role ${role}`);
  });
});
