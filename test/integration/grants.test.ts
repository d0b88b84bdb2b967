/**
 * Least privilege, on a real server: application, relay and consumer work with what `outrider grants`
 * prints and are refused everything beyond it, in a schema and with roles whose names want to be quoted.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type pg from "pg";
import { afterEach, describe, expect, inject, it } from "vitest";
import { grantStatements } from "../../src/doctor/grants.ts";
import { needsOf, type Privilege, type RoleKind } from "../../src/doctor/privileges.ts";
import { enqueue, fromPg, inbox } from "../../src/index.ts";
import { PostgresDeadLetters } from "../../src/outbox/postgres-dead-letters.ts";
import { PostgresSession } from "../../src/outbox/postgres-session.ts";
import { PostgresWitness } from "../../src/outbox/postgres-witness.ts";
import { quoteIdentifier } from "../../src/outbox/statements.ts";
import { until } from "../faults/until.ts";
import { databaseConfig } from "../support/migrated-database.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { defaultNeeds, RoledDatabase } from "../support/roled-database.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

const hostile = 'we"ird; drop schema "public" cascade; --$grant$';
const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));
const brokers = inject("kafkaBrokers");

let database: RoledDatabase;
afterEach(async () => {
  await RelayProcess.endAll();
  await database.drop();
});

const tableOf = (name: string) => `${quoteIdentifier(database.schema)}.${name}`;

/** The three ways in which applications write. */
async function write(client: pg.Client, n: number, topic: string): Promise<void> {
  const schema = database.schema;
  await client.query("begin");
  await enqueue(
    fromPg(client),
    [
      { aggregateId: `a${n % 7}`, payload: { n }, topic, eventType: "Made", headers: { n: String(n) } },
      { aggregateId: `b${n % 5}`, payload: { n }, topic },
    ],
    { schema },
  );
  await client.query(`select ${tableOf("outrider_enqueue")}($1, $2, event_type => 'Made', topic => $3)`, [
    `c${n % 3}`,
    "{}",
    topic,
  ]);
  await client.query(
    `insert into ${tableOf("undispatched_events")} (event_id, aggregate_id, event_payload, topic) values ($1, $2, '{}', $3)`,
    [randomUUID(), `d${n % 3}`, topic],
  );
  await client.query(n % 10 === 9 ? "rollback" : "commit");
}

const emptied = () =>
  until("the outbox is empty", 30_000, async () => {
    const { rows } = await database.admin.query(`select 1 from ${tableOf("undispatched_events")} limit 1`);
    return rows.length === 0 ? true : undefined;
  });

describe("under the rights that outrider grants prints", () => {
  it.each(["at-least-once", "at-most-once", "exactly-once"] as const)(
    "application and relay work (%s)",
    async (delivery) => {
      database = await RoledDatabase.make(hostile);
      const app = await database.connect(await database.granted("app", defaultNeeds, hostile));
      const relayRole = await database.granted(
        "relay",
        { delivery, inboxRetentionMs: 0 },
        `relay ${hostile}`,
      );
      const topic = uniqueTopic("grants");
      await createTopics(brokers, [{ topic, partitions: 3 }]);
      const relay = new RelayProcess({
        DATABASE_URL: database.urlOf(relayRole),
        OUTRIDER_SCHEMA: hostile,
        KAFKA_BROKERS: brokers,
        OUTRIDER_DELIVERY: delivery,
        OUTRIDER_REJECTED: "dead-letter",
        OUTRIDER_ATTEMPTS_MAX: "2",
        OUTRIDER_BLOCK_RETRY_MIN_MS: "10",
        OUTRIDER_BLOCK_RETRY_MAX_MS: "20",
        OUTRIDER_SWEEP_CRON: "* * * * * *",
        OUTRIDER_STATISTICS_CRON: "* * * * * *",
        OUTRIDER_LOG_LEVEL: "debug",
      });
      for (let n = 0; n < 100; n += 1) await write(app, n, topic);
      // Refused by the relay: blocked, tried again and given up (dropped, under at-most-once).
      await app.query("begin");
      await enqueue(fromPg(app), [{ aggregateId: "bad", payload: {}, topic: uniqueTopic("missing") }], {
        schema: database.schema,
      });
      await app.query("commit");
      await relay.heard(delivery === "at-most-once" ? "events-dropped" : "event-dead-lettered");
      await emptied();
      expect((await relay.end()).code).toBe(0);
      const received = await readTopic(brokers, topic, { isolation: "committed" });
      expect(new Set(received.map(({ headers }) => headers.event_id)).size).toBe(90 * 4);
      expect(relay.lines.filter(({ msg }) => /permission|denied|42501/.test(msg ?? ""))).toEqual([]);
    },
  );

  it("consumer marks, relay prunes", async () => {
    database = await RoledDatabase.make(hostile);
    const needs = { delivery: "at-least-once", inboxRetentionMs: 3_600_000 } as const;
    const consumer = await database.connect(await database.granted("consumer", needs));
    const options = { schema: database.schema };
    const eventId = randomUUID();
    const once = async () => {
      await consumer.query("begin");
      const { isFirst } = await inbox.once(
        fromPg(consumer),
        "billing",
        eventId,
        async () => undefined,
        options,
      );
      await consumer.query("commit");
      return isFirst;
    };
    expect([await once(), await once()]).toEqual([true, false]);
    await database.admin.query(
      `update ${tableOf("processed_events")} set processed_at = clock_timestamp() - interval '2 hours'`,
    );
    const relay = new RelayProcess({
      DATABASE_URL: database.urlOf(await database.granted("relay", needs)),
      OUTRIDER_SCHEMA: hostile,
      OUTRIDER_PUBLISHER: "stdout",
      OUTRIDER_INBOX_RETENTION_MS: "3600000",
      OUTRIDER_INBOX_PRUNE_CRON: "* * * * * *",
    });
    await until("the mark is pruned", 20_000, async () => {
      const { rows } = await database.admin.query(`select 1 from ${tableOf("processed_events")}`);
      return rows.length === 0 ? true : undefined;
    });
    expect((await relay.end()).code).toBe(0);
  });
});

const privileges: readonly Privilege[] = ["select", "insert", "update", "delete"];
const tables = [
  "undispatched_events",
  "outrider_shard_leases",
  "outrider_members",
  "outrider_blocked_aggregates",
  "outrider_dead_letters",
  "outrider_batch_intents",
  "outrider_identity",
  "outrider_migrations",
  "processed_events",
];
/** A column of each table that a statement can name. */
const columnOf = (table: string) =>
  ({
    outrider_shard_leases: "shard",
    outrider_members: "member",
    outrider_batch_intents: "shard_group",
    outrider_identity: "outbox_id",
    outrider_migrations: "name",
    processed_events: "event_id",
  })[table] ?? "event_id";

function statementFor(privilege: Privilege | "truncate", table: string): string {
  const name = tableOf(table);
  const column = columnOf(table);
  switch (privilege) {
    case "select":
      return `select ${column} from ${name} limit 1`;
    case "insert":
      return `insert into ${name} (${column}) select ${column} from ${name} where false`;
    case "update":
      return `update ${name} set ${column} = ${column} where false`;
    case "delete":
      return `delete from ${name} where false`;
    case "truncate":
      return `truncate ${name}`;
  }
}

async function isRefused(client: pg.Client, statement: string): Promise<boolean> {
  await client.query("begin");
  try {
    await client.query(statement);
    return false;
  } catch (error) {
    if ((error as { code?: string }).code !== "42501") throw error;
    return true;
  } finally {
    await client.query("rollback");
  }
}

describe.each(["app", "relay", "consumer", "operator", "reader"] as const)(
  "beyond its rights, %s",
  (kind: RoleKind) => {
    it("is refused every statement", async () => {
      database = await RoledDatabase.make();
      const client = await database.connect(await database.granted(kind));
      const needs = needsOf(kind, defaultNeeds);
      const has = (table: string, privilege: Privilege) =>
        needs.some((need) => need.table === table && need.privilege === privilege);
      const wrong: string[] = [];
      for (const table of tables) {
        for (const privilege of [...privileges, "truncate"] as const) {
          const isGranted = privilege !== "truncate" && has(table, privilege);
          // A statement that also has to read is no test of the right to write.
          if (isGranted && !has(table, "select")) continue;
          if ((await isRefused(client, statementFor(privilege, table))) === isGranted)
            wrong.push(`${privilege} on ${table} is ${isGranted ? "refused" : "allowed"}`);
        }
      }
      expect(wrong).toEqual([]);
      for (const statement of [
        "create table public.mine ()",
        `drop table ${tableOf("undispatched_events")}`,
        `alter table ${tableOf("undispatched_events")} add column mine text`,
        `create trigger mine before insert on ${tableOf("undispatched_events")} for each row execute function suppress_redundant_updates_trigger()`,
      ])
        expect(await isRefused(client, statement), statement).toBe(true);
    });
  },
);

it("an application cannot supply created_at, seq or shard, nor read what it wrote", async () => {
  database = await RoledDatabase.make();
  const app = await database.connect(await database.granted("app"));
  const events = tableOf("undispatched_events");
  const into = (column: string, value: string) =>
    `insert into ${events} (aggregate_id, event_payload, ${column}) values ('a', '{}', ${value})`;
  expect(await isRefused(app, into("topic", "'t'"))).toBe(false);
  expect(await isRefused(app, into("created_at", "now()"))).toBe(true);
  expect(await isRefused(app, into("seq", "default"))).toBe(true);
  expect(await isRefused(app, `${into("topic", "'t'")} returning event_payload`)).toBe(true);
  const stamping = await database.granted("app", { ...defaultNeeds, doesStamp: true }, "stamps");
  expect(await isRefused(await database.connect(stamping), into("created_at", "now()"))).toBe(false);
});

it("a reader sees no payload", async () => {
  database = await RoledDatabase.make();
  const reader = await database.connect(await database.granted("reader"));
  expect(await isRefused(reader, `select event_payload from ${tableOf("undispatched_events")}`)).toBe(true);
  expect(
    await isRefused(reader, `select event_id, created_at, seq from ${tableOf("undispatched_events")}`),
  ).toBe(false);
});

it("each right of the relay is needed: without it, one of its statements is refused", async () => {
  database = await RoledDatabase.make();
  const role = await database.granted("relay");
  const client = await database.connect(role);
  for (const { table, privilege } of needsOf("relay", defaultNeeds)) {
    const target = `on ${tableOf(table)}`;
    await database.admin.query(`revoke ${privilege} ${target} from ${quoteIdentifier(role)}`);
    expect(await isRefused(client, statementFor(privilege, table)), `${privilege} ${target}`).toBe(true);
    await database.admin.query(`grant ${privilege} ${target} to ${quoteIdentifier(role)}`);
  }
});

it("reader and operator run the commands that are meant for them", async () => {
  database = await RoledDatabase.make(hostile);
  const schema = database.schema;
  const letter = `insert into ${tableOf("outrider_dead_letters")} (event_id, aggregate_id, created_at, event_payload, seq, reason, message, attempts)
    values (gen_random_uuid(), 'a', clock_timestamp(), '{}', 1, 'topic-unknown', 'missing', 1)`;
  for (let n = 0; n < 2; n += 1) await database.admin.query(letter);
  const witness = new PostgresWitness(
    databaseConfig(database.urlOf(await database.granted("reader")), { schema }),
  );
  expect(await witness.standing(100, 1_000)).toMatchObject({ waiting: 0, deadLetters: 2 });
  expect([await witness.sample(1), (await witness.find([randomUUID()])).size]).toEqual([[], 0]);
  await witness.close();
  const session = new PostgresSession(
    databaseConfig(database.urlOf(await database.granted("operator")), { schema }),
    "operator",
  );
  const channel = new PostgresDeadLetters(session, schema, {
    topicTemplate: "t.${aggregate_type}",
    topicDefault: "t",
  });
  const until = await channel.now();
  expect(await channel.list({}, { after: undefined, lettersMax: 5 })).toHaveLength(2);
  expect(await channel.redrive({}, { after: undefined, lettersMax: 1 }, until)).toMatchObject([
    { isMoved: true },
  ]);
  expect(await channel.discard({}, { after: undefined, lettersMax: 1 }, until)).toMatchObject([
    { isMoved: true },
  ]);
  expect(await channel.blocked(5, 5)).toEqual([]);
  await session.close();
});

describe("outrider grants", () => {
  it("prints what is to be run, and refuses to print nothing", async () => {
    database = await RoledDatabase.make(hostile);
    const role = await database.role("printed");
    const run = (args: readonly string[]) =>
      promisify(execFile)(process.execPath, [entry, "grants", ...args], { env: { PATH: process.env.PATH } });
    const { stdout } = await run(["--relay", role, "--schema", hostile, "--delivery", "exactly-once"]);
    const statements = grantStatements("relay", role, {
      schema: hostile,
      delivery: "exactly-once",
      inboxRetentionMs: 0,
    });
    expect(stdout).toBe(`${statements.join(";\n")};\n`);
    await database.admin.query(stdout);
    const { rows } = await database.admin.query(
      "select has_table_privilege($1, $2::regclass, 'select') as may",
      [role, tableOf("outrider_identity")],
    );
    expect(rows).toEqual([{ may: true }]);
    await expect(run([])).rejects.toMatchObject({ code: 2 });
    const json = JSON.parse((await run(["--app", role, "--json"])).stdout) as object;
    expect(json).toMatchObject({ schema: "public", roles: [{ kind: "app", role }] });
  });
});
