/** TLS, SCRAM and client certificates with a real PostgreSQL: what gets in, what is refused, and what is lost (nothing). */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { OutriderError } from "../../src/foundation/errors.ts";
import type { DatabaseConfig } from "../../src/outbox/database-config.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { databaseConfig } from "../support/migrated-database.ts";
import { type Exit, RelayProcess } from "../support/relay-process.ts";
import {
  type Presented,
  passwordCanary,
  type SecuredPostgres,
  startSecuredPostgres,
} from "../support/secured-postgres.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

let server: SecuredPostgres;
let admin: pg.Client;
let topic: string;

beforeAll(async () => {
  server = await startSecuredPostgres();
  admin = new pg.Client(server.adminUrl);
  await admin.connect();
});
beforeEach(async () => {
  topic = uniqueTopic("secured");
  await admin.query("delete from undispatched_events");
});
afterEach(() => RelayProcess.endAll());
afterAll(async () => {
  await admin?.end();
  await server?.stop();
});

/** "in", or the code of the refusal. */
async function tryToEnter(given: Partial<DatabaseConfig>, url = server.url): Promise<string> {
  try {
    await (await connect(databaseConfig(url, given))).end();
    return "in";
  } catch (error) {
    return error instanceof OutriderError ? error.code : String(error);
  }
}

const relayWith = (settings: Readonly<Record<string, string>>): RelayProcess =>
  new RelayProcess({
    DATABASE_URL: server.url,
    OUTRIDER_DATABASE_CA_FILE: server.files.ca,
    OUTRIDER_DATABASE_SSLMODE: "verify-full",
    KAFKA_BROKERS: inject("kafkaBrokers"),
    OUTRIDER_BACKOFF_MAX_MS: "200",
    OUTRIDER_LEASE_TTL_MS: "2000",
    OUTRIDER_LEASE_RENEW_MS: "200",
    ...settings,
  });

async function write(events: number): Promise<string[]> {
  const ids = Array.from({ length: events }, () => randomUUID());
  for (const [n, id] of ids.entries())
    await admin.query(
      "insert into undispatched_events (event_id, aggregate_id, event_payload, topic) values ($1, $2, '{}', $3)",
      [id, `a${n % 3}`, topic],
    );
  return ids;
}

const waiting = async (): Promise<number> =>
  (await admin.query("select 1 from undispatched_events")).rowCount ?? 0;

async function drained(): Promise<void> {
  while ((await waiting()) > 0);
}

const published = async (): Promise<(string | undefined)[]> =>
  (await readTopic(inject("kafkaBrokers"), topic)).map(({ headers }) => headers.event_id);

describe("what each sslmode accepts", () => {
  const [ok, no] = ["in", "OUTBOX_REFUSED"];
  const modes = ["disable", "require", "verify-ca", "verify-full"] as const;
  const table: readonly (readonly [Presented, "ca" | "otherCa", readonly string[]])[] = [
    ["good", "ca", [no, ok, ok, ok]],
    ["good", "otherCa", [no, no, no, no]],
    ["expired", "ca", [no, no, no, no]],
    ["misnamed", "ca", [no, ok, ok, no]],
    ["nameOnly", "ca", [no, ok, ok, no]],
  ];
  it.each(table)("a certificate that is %s, with the authority %s", async (kind, authority, expected) => {
    await server.present(kind);
    const answers: string[] = [];
    for (const sslmode of modes) answers.push(await tryToEnter({ sslmode, ca: server[authority] }));
    expect(answers).toEqual(expected);
  });

  it("require without an authority encrypts and checks nothing", async () => {
    for (const kind of ["expired", "misnamed", "good"] as const) {
      await server.present(kind);
      expect(await tryToEnter({ sslmode: "require" })).toBe(ok);
    }
  });

  it("verify-ca and verify-full without an authority trust public ones only", async () => {
    expect(await tryToEnter({ sslmode: "verify-ca" })).toBe(no);
    expect(await tryToEnter({ sslmode: "verify-full" })).toBe(no);
  });

  it("verify-full goes by the host in the URL, name or address", async () => {
    await server.present("nameOnly");
    const byName = server.url.replace("127.0.0.1", "localhost");
    expect(await tryToEnter({ sslmode: "verify-full", ca: server.ca }, byName)).toBe(ok);
    await server.present("good");
  });

  it("a role with a client certificate needs no password; without the certificate it is refused", async () => {
    const url = server.url.replace(/relay:[^@]+/, "badge");
    const given = { sslmode: "verify-full", ca: server.ca } as const;
    expect(await tryToEnter({ ...given, ...server.badge }, url)).toBe(ok);
    expect(await tryToEnter(given, url)).toBe(no);
  });
});

describe("a relay over TLS with SCRAM", () => {
  it("publishes everything", async () => {
    await createTopics(inject("kafkaBrokers"), [{ topic }]);
    const ids = await write(30);
    const relay = relayWith({});
    await drained();
    expect(await relay.end()).toEqual({ code: 0, signal: null });
    expect((await published()).sort()).toEqual(ids.sort());
    expect(await waiting()).toBe(0);
  });

  const refused: Exit = { code: 78, signal: null };
  it.each<[string, Presented, () => Readonly<Record<string, string>>, RegExp]>([
    [
      "another authority",
      "good",
      () => ({ OUTRIDER_DATABASE_CA_FILE: server.files.otherCa }),
      /No TLS with PostgreSQL: .*certificate/,
    ],
    ["an expired certificate", "expired", () => ({}), /No TLS with PostgreSQL: certificate has expired/],
    [
      "a certificate for another host",
      "misnamed",
      () => ({}),
      /No TLS with PostgreSQL: .*127\.0\.0\.1 is not in the cert's list/,
    ],
    [
      "no TLS where it is demanded",
      "good",
      () => ({ OUTRIDER_DATABASE_SSLMODE: "disable" }),
      /no encryption[\s\S]*whether the server demands TLS/,
    ],
    [
      "a wrong password",
      "good",
      () => ({ DATABASE_URL: server.url.replace(passwordCanary, "wrong") }),
      /password authentication failed for user "relay"/,
    ],
  ])("%s ends it with 78 and says why; the events stay", async (_, kind, settings, sentence) => {
    await server.present(kind);
    const ids = await write(2);
    const relay = relayWith(settings());
    expect(await relay.exited).toEqual(refused);
    expect(relay.stderr).toMatch(sentence);
    expect(relay.stderr).toContain("what to do:");
    expect(relay.stderr).not.toContain(passwordCanary);
    expect(await waiting()).toBe(ids.length);
    await server.present("good");
  });

  it("waits when its password is changed under it, and goes on when it is right again", async () => {
    await createTopics(inject("kafkaBrokers"), [{ topic }]);
    const first = await write(5);
    const relay = relayWith({ OUTRIDER_LOG_LEVEL: "debug" });
    await drained();
    await admin.query("alter role relay password 'changed'");
    await admin.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'relay'");
    const second = await write(5);
    // The outage is said once, with what began it; what came of the attempts after that is said at debug.
    const lost = await relay.heard("outbox-lost");
    await relay.heard("lease-round-failed", ({ message }) =>
      /password authentication failed/.test(`${message}`),
    );
    expect(lost.level).toBe("warn");
    expect(await waiting()).toBe(5);
    await admin.query(`alter role relay password ${pg.escapeLiteral(passwordCanary)}`);
    await relay.heard("outbox-back");
    await drained();
    expect(await relay.end()).toEqual({ code: 0, signal: null });
    expect((await published()).sort()).toEqual([...first, ...second].sort());
    expect(await waiting()).toBe(0);
  });
});

describe("a server without TLS", () => {
  it("is refused by whoever asks for it, and not spoken to in the clear instead", async () => {
    const config = databaseConfig(inject("postgresUrl"), { sslmode: "require" });
    await expect(connect(config)).rejects.toMatchObject({
      code: "OUTBOX_REFUSED",
      message: /does not support SSL/,
    });
  });
});
