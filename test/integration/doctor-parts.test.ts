/** The doctor where a part is away, refuses, stands behind a pooler, or says that it is somewhere else. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Kafka, logLevel } from "kafkajs";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";
import { freePort } from "../../src/environment/free-port.ts";
import { carryOut, checkUp, own } from "../support/checkup.ts";
import { migratedDatabase } from "../support/migrated-database.ts";
import { findPgbouncer, startPgbouncer } from "../support/pgbouncer.ts";
import { type ProxiedKafka, startProxiedKafka } from "../support/proxied-kafka.ts";
import { RoledDatabase } from "../support/roled-database.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";

const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function outrider(args: readonly string[], environment: Readonly<Record<string, string>>): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { PATH: process.env.PATH, ...environment };
    const child = execFile(process.execPath, [entry, "doctor", ...args], { env }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

describe("outrider doctor", () => {
  it("finds servers that are away, and ends with 69", async () => {
    const away = `127.0.0.1:${await freePort()}`;
    const { code, stdout, stderr } = await outrider(["--json"], {
      DATABASE_URL: `postgres://relay:top-secret@${away}/shop`,
      KAFKA_BROKERS: away,
      OUTRIDER_KAFKA_CONNECT_TIMEOUT_MS: "1000",
    });
    expect({ code, stderr }).toEqual({ code: 69, stderr: "" });
    const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: { code: string }[] };
    expect(ok).toBe(false);
    expect(findings.map((finding) => finding.code)).toEqual(["database-unavailable", "brokers-unavailable"]);
    expect(stdout).not.toMatch(/top-secret|\n\s+at /);
  });

  it("finds addresses that are missing, and ends with 78", async () => {
    const { code, stdout } = await outrider([], {});
    expect(code).toBe(78);
    expect(stdout).toMatch(/database-missing.*brokers-missing.*unwell: 2 error/s);
  });

  it("ends with 0 where nothing is wrong, and with 78 for its warnings under --strict", async () => {
    const database = await RoledDatabase.make();
    const topic = uniqueTopic("doctor");
    await createTopics(inject("kafkaBrokers"), [{ topic }]);
    const environment = {
      DATABASE_URL: database.urlOf(await database.granted("relay")),
      KAFKA_BROKERS: inject("kafkaBrokers"),
      OUTRIDER_TOPIC_DEFAULT: topic,
    };
    const relaxed = await outrider(["--json", "--topic", topic], environment);
    const strict = await outrider(["--strict"], environment);
    const absent = await outrider(["--topic", uniqueTopic("absent")], environment);
    await database.drop();
    expect([relaxed.code, strict.code, absent.code]).toEqual([0, 78, 78]);
    expect(JSON.parse(relaxed.stdout)).toMatchObject({ ok: true });
    expect(strict.stdout).toContain("unwell: 0 error(s)");
    expect(absent.stdout).toContain("topic-missing");
  });

  it("finds a login that PostgreSQL refuses, and a role that is not there", async () => {
    const database = await migratedDatabase();
    const url = new URL(database.url);
    url.username = "nobody-of-that-name";
    const refused = await checkUp({ DATABASE_URL: url.href, OUTRIDER_PUBLISHER: "stdout" });
    const unknown = await checkUp(
      { DATABASE_URL: database.url, OUTRIDER_PUBLISHER: "stdout" },
      { role: 'of "that" name' },
    );
    await database.drop();
    expect(refused.findings).toMatchObject([{ code: "database-refused", severity: "error" }]);
    expect(unknown.findings).toMatchObject([
      { code: "database-refused", repair: 'create role "of ""that"" name" login' },
    ]);
  });

  it("finds a database without an outbox", async () => {
    const database = await RoledDatabase.make();
    const diagnosis = await checkUp({
      DATABASE_URL: database.adminUrl,
      OUTRIDER_SCHEMA: "elsewhere",
      OUTRIDER_PUBLISHER: "stdout",
    });
    await database.drop();
    expect(own(diagnosis)).toMatchObject([{ code: "table-missing", repair: "outrider migrate" }]);
  });

  it("judges the owner, and the role that it advises to make", async () => {
    const database = await RoledDatabase.make();
    const { rows } = await database.admin.query<{ owner: string }>(
      "select pg_get_userbyid(relowner) as owner from pg_class where relname = 'undispatched_events'",
    );
    const environment = { DATABASE_URL: database.adminUrl, OUTRIDER_PUBLISHER: "stdout" };
    const judge = (role: string) => checkUp(environment, { role });
    const [finding] = own(await judge(rows[0]?.owner ?? ""));
    expect(finding).toMatchObject({ code: "role-owner", severity: "warning" });
    await database.admin.query("drop role if exists outrider_relay");
    await carryOut(finding?.repair ?? "", database.admin);
    expect(own(await judge("outrider_relay"))).toEqual([]);
    await database.admin.query("drop owned by outrider_relay; drop role outrider_relay");
    await database.drop();
  });
});

const pooler = await findPgbouncer();
if ("missing" in pooler) console.warn(`the doctor behind PgBouncer is not tried: ${pooler.missing}`);

it.skipIf("missing" in pooler)("notices a pooler, and the time-out that it keeps away", async () => {
  const database = await RoledDatabase.make();
  const role = "outrider_doctor_pooled";
  await database.admin.query(`drop role if exists ${role}; create role ${role} login password 'granted'`);
  await database.grant("relay", role);
  const start = () => startPgbouncer("file" in pooler ? pooler.file : "", database.urlOf(role));
  const examine = async (url: string) =>
    own(await checkUp({ DATABASE_URL: url, OUTRIDER_PUBLISHER: "stdout" }));
  let bouncer = await start();
  const found = await examine(bouncer.url);
  expect(found.map(({ code }) => code)).toEqual(["statement-timeout-missing", "pooler"]);
  await carryOut(found[0]?.repair ?? "", database.admin);
  await bouncer.stop();
  bouncer = await start();
  expect((await examine(bouncer.url)).map(({ code }) => code)).toEqual(["pooler"]);
  await bouncer.stop();
  await database.admin.query(`drop owned by ${role}; drop role ${role}`);
  await database.drop();
});

describe("brokers with access control, which say that they are behind a proxy", () => {
  let kafka: ProxiedKafka;
  let database: RoledDatabase;
  let topic: string;
  beforeAll(async () => {
    kafka = await startProxiedKafka({
      "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
      "allow.everyone.if.no.acl.found": "true",
    });
  });
  afterAll(() => kafka.stop());
  afterEach(() => database.drop());

  async function prepare(delivery: "at-least-once" | "exactly-once") {
    database = await RoledDatabase.make();
    topic = uniqueTopic("doctor");
    await createTopics(kafka.direct, [{ topic, partitions: 2 }]);
    return {
      DATABASE_URL: database.urlOf(await database.granted("relay", { delivery, inboxRetentionMs: 0 })),
      KAFKA_BROKERS: kafka.direct.join(","),
      OUTRIDER_TOPIC_DEFAULT: topic,
      OUTRIDER_DELIVERY: delivery,
      OUTRIDER_PROGRESS_TOPIC: uniqueTopic("progress"),
    };
  }

  /** Who is named nowhere may nothing, once anybody is named. */
  async function allowOnlySomebodyElse(resources: readonly { type: number; name: string }[]) {
    const admin = new Kafka({ brokers: [...kafka.direct], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    await admin.createAcls({
      acl: resources.map(({ type, name }) => ({
        resourceType: type,
        resourceName: name,
        resourcePatternType: 3,
        principal: "User:somebody-else",
        host: "*",
        operation: 2,
        permissionType: 3,
      })),
    });
    await admin.disconnect();
  }

  it("finds a topic that this login may not write to, and the repair lets it", async () => {
    const environment = await prepare("at-least-once");
    await allowOnlySomebodyElse([{ type: 2, name: topic }]);
    const examine = async () => own(await checkUp(environment, { topics: [topic] }));
    const [hidden] = await examine();
    expect(hidden).toMatchObject({ code: "topic-forbidden", severity: "error" });
    await carryOut((hidden?.repair ?? "").replace("--operation Write ", ""), database.admin);
    const [readOnly, ...others] = await examine();
    expect(readOnly?.message).toContain("may not write to the topic");
    expect(others.map(({ code }) => code)).toEqual(["topic-settings-hidden"]);
    for (const { repair } of [readOnly, ...others].filter((each) => each !== undefined))
      await carryOut(repair, database.admin);
    expect(await examine()).toEqual([]);
  });

  it("finds transactions and a group that this login may not use, and the repairs let it", async () => {
    const environment = await prepare("exactly-once");
    const { rows } = await database.admin.query<{ id: string }>(
      "select outbox_id::text as id from outrider_identity",
    );
    const name = `outrider-${rows[0]?.id}`;
    await allowOnlySomebodyElse([
      { type: 5, name: `${name}-0` },
      { type: 3, name },
    ]);
    const examine = async () =>
      own(await checkUp(environment)).filter(({ code }) => code !== "topic-missing");
    const found = await examine();
    expect(found.map(({ code }) => code)).toEqual(["transactional-id-forbidden", "progress-group-forbidden"]);
    for (const { repair } of found) await carryOut(repair, database.admin);
    expect(await examine()).toEqual([]);
  });

  it("finds that nobody answers where a broker says that it is, until somebody does", async () => {
    const environment = await prepare("at-least-once");
    const behind = kafka.kafka.behindProxy[0] ?? "";
    const spare = `127.0.0.1:${await freePort()}`;
    const examine = () => checkUp({ ...environment, KAFKA_BROKERS: `${spare},${behind}` });
    await kafka.proxy.refuse();
    const [advertised, ...others] = own(await examine());
    expect(advertised).toMatchObject({ code: "broker-advertised-unreachable", severity: "error" });
    expect(others).toMatchObject([{ code: "broker-unreachable", repair: `export KAFKA_BROKERS=${behind}` }]);
    await kafka.proxy.accept();
    expect(own(await examine()).map(({ code }) => code)).toEqual(["broker-unreachable"]);
  });
});
