/** The migrator against real servers, as a role that has no more rights than an application. */
import pg from "pg";
import { afterAll, afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { OutriderError } from "../../src/foundation/errors.ts";
import { type MigrateOptions, migrate, pendingMigrations } from "../../src/outbox/migrator.ts";
import { describeSchema } from "../support/catalog.ts";
import { all } from "../support/migration-names.ts";
import { type PlainDatabase, plainDatabase } from "../support/plain-database.ts";
import { postgresServers } from "../support/postgres-servers.ts";

const servers = await postgresServers(inject("postgresUrl"));
afterAll(() => Promise.all(servers.map((server) => server.stop())));

/** The error of a migration that must fail. */
async function refusal(client: pg.Client, options: MigrateOptions): Promise<OutriderError> {
  const error = await migrate(client, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof OutriderError) return error;
  throw error ?? new Error("the migration was not refused");
}

describe.each(servers)("on $label", ({ url }) => {
  let database: PlainDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await plainDatabase(url);
    client = await database.connect();
  });
  afterEach(() => database.drop());

  const insert = (id: string) =>
    client.query("insert into undispatched_events (aggregate_id, event_payload) values ($1, '{}')", [id]);

  it("creates the outbox, and finds nothing to do the second time", async () => {
    expect(await migrate(client, { schema: "public" })).toEqual({
      schema: "public",
      direction: "up",
      isDryRun: false,
      migrations: all,
    });
    const made = await describeSchema(client, "public");
    expect(made).toContain(
      "index CREATE INDEX undispatched_events_order ON undispatched_events USING btree (shard, created_at, seq) valid=t",
    );
    expect(made).toContain("constraint undispatched_events_pkey PRIMARY KEY (event_id)");
    expect((await migrate(client, { schema: "public" })).migrations).toEqual([]);
    expect(await describeSchema(client, "public")).toEqual(made);
  });

  it("gives every column that an application leaves out a value", async () => {
    await migrate(client, { schema: "public" });
    await insert("a");
    const { rows } = await client.query(
      `select event_id is not null as id, created_at <= clock_timestamp() as time, seq, shard between 0 and 63 as shard,
              shard = hashtext('a') & 63 as hashed, event_type, aggregate_type, topic, headers from undispatched_events`,
    );
    expect(rows).toEqual([
      {
        id: true,
        time: true,
        seq: "1",
        shard: true,
        hashed: true,
        event_type: null,
        aggregate_type: null,
        topic: null,
        headers: null,
      },
    ]);
  });

  it("stamps each row, not the transaction, and numbers the rows of one statement in order", async () => {
    await migrate(client, { schema: "public" });
    await client.query("begin");
    await insert("a");
    await insert("b");
    await client.query(
      "insert into undispatched_events (aggregate_id, event_payload) select 'c' || n, '{}' from generate_series(1, 500) n",
    );
    await client.query("commit");
    const { rows } = await client.query<{ id: string; times: string }>(
      "select string_agg(aggregate_id, ',' order by created_at, seq) as id, count(distinct created_at) as times from undispatched_events",
    );
    expect(rows[0]?.id).toBe(["a", "b", ...Array.from({ length: 500 }, (_, n) => `c${n + 1}`)].join(","));
    expect(Number(rows[0]?.times)).toBeGreaterThan(2);
  });

  it.each(['we"ird; drop', "o'neil\\", "Ünïcode schema", "$outrider$", "%s%I", "select"])(
    "works in a schema called %s",
    async (schema) => {
      expect((await migrate(client, { schema })).migrations).toEqual(all);
      const table = `${pg.escapeIdentifier(schema)}.undispatched_events`;
      const { rows } = await client.query(
        `select ${pg.escapeIdentifier(schema)}.outrider_enqueue('a', '{}')`,
      );
      expect((await client.query(`select event_id from ${table}`)).rows).toEqual([
        { event_id: rows[0].outrider_enqueue },
      ]);
      expect(await describeSchema(client, "public")).toEqual([]);
      await migrate(client, { schema, direction: "down", isForced: true });
      expect(await describeSchema(client, schema)).toEqual([]);
    },
  );

  it("leaves nothing in the session", async () => {
    const settings = "select name, setting from pg_settings where source = 'session' order by name";
    const before = (await client.query(settings)).rows;
    await migrate(client, { schema: "elsewhere", payloadType: "bytea" });
    await migrate(client, { schema: "elsewhere", direction: "down", isForced: true });
    expect((await client.query(settings)).rows).toEqual(before);
    const left = await client.query(
      `select (select count(*)::int from pg_locks where pid = pg_backend_pid() and locktype = 'advisory') as locks,
              (select count(*)::int from pg_prepared_statements) as statements`,
    );
    expect(left.rows).toEqual([{ locks: 0, statements: 0 }]);
  });

  it("says in a dry run what it would do, and does not do it", async () => {
    const report = await migrate(client, { schema: "later", isDryRun: true });
    expect(report).toEqual({ schema: "later", direction: "up", isDryRun: true, migrations: all });
    expect((await client.query("select from pg_namespace where nspname = 'later'")).rowCount).toBe(0);
    expect((await pendingMigrations(client, { schema: "later" })).map(({ name }) => name)).toEqual(all);
  });

  it("goes up and down by steps", async () => {
    expect((await migrate(client, { schema: "public", to: all[0] })).migrations).toEqual([all[0]]);
    const first = await describeSchema(client, "public");
    expect((await migrate(client, { schema: "public" })).migrations).toEqual(all.slice(1));
    expect((await migrate(client, { schema: "public", direction: "down", to: all[0] })).migrations).toEqual(
      all.slice(1).toReversed(),
    );
    expect(await describeSchema(client, "public")).toEqual(first);
    expect((await migrate(client, { schema: "public", direction: "down" })).migrations).toEqual([all[0]]);
    expect(await describeSchema(client, "public")).toEqual([]);
    expect((await migrate(client, { schema: "public", direction: "down" })).migrations).toEqual([]);
    expect((await migrate(client, { schema: "never there", direction: "down" })).migrations).toEqual([]);
  });

  it("does not drop events that were not published, unless forced", async () => {
    await migrate(client, { schema: "public" });
    await insert("a");
    const before = await describeSchema(client, "public");
    const error = await refusal(client, { schema: "public", direction: "down" });
    expect(error.code).toBe("MIGRATION_FAILED");
    expect(error.message).toContain("still holds events");
    expect(error.repair).toContain("--force");
    expect(await describeSchema(client, "public")).toEqual(before);
    expect((await client.query("select from undispatched_events")).rowCount).toBe(1);
    await migrate(client, { schema: "public", direction: "down", isForced: true });
    expect(await describeSchema(client, "public")).toEqual([]);
  });

  it("does not take a table whose rows row security hides for an empty one", async () => {
    await migrate(client, { schema: "public" });
    await insert("a");
    await client.query("alter table undispatched_events enable row level security");
    await client.query("alter table undispatched_events force row level security");
    expect((await client.query("select from undispatched_events")).rowCount).toBe(0);
    const error = await refusal(client, { schema: "public", direction: "down" });
    expect(error.message).toContain("row-level security");
    await client.query("alter table undispatched_events no force row level security");
    expect((await client.query("select from undispatched_events")).rowCount).toBe(1);
  });

  it("refuses a database that a newer version has migrated, and changes nothing", async () => {
    await migrate(client, { schema: "public", to: all[0] });
    await client.query("insert into outrider_migrations (name, checksum) values ('9999_future', 'x')");
    for (const direction of ["up", "down"] as const) {
      const error = await refusal(client, { schema: "public", direction });
      expect(error.code).toBe("SCHEMA_NEWER");
      expect(error.message).toContain("9999_future");
    }
    expect((await client.query("select name from outrider_migrations order by name")).rows).toEqual([
      { name: all[0] },
      { name: "9999_future" },
    ]);
  });

  it("refuses when an applied file was edited", async () => {
    await migrate(client, { schema: "public" });
    await client.query("update outrider_migrations set checksum = 'x' where name = $1", [all[1]]);
    const error = await refusal(client, { schema: "public" });
    expect(error.code).toBe("MIGRATION_FAILED");
    expect(error.message).toContain(`edited after they had been applied: ${all[1]}`);
  });

  it("keeps the payload type that was chosen first, and says so when asked for another", async () => {
    for (const payloadType of ["json", "jsonb", "bytea"] as const) {
      await migrate(client, { schema: payloadType, payloadType });
      const made = await describeSchema(client, payloadType);
      expect(made.find((line) => line.startsWith("column undispatched_events.event_payload "))).toContain(
        `event_payload ${payloadType} null=f`,
      );
      expect((await migrate(client, { schema: payloadType })).migrations).toEqual([]);
      expect((await migrate(client, { schema: payloadType, payloadType })).migrations).toEqual([]);
      const error = await refusal(client, {
        schema: payloadType,
        payloadType: payloadType === "json" ? "jsonb" : "json",
      });
      expect(error.code).toBe("MIGRATION_FAILED");
      expect(error.message).toContain(`is ${payloadType} already`);
    }
  });

  it("is ended by the first error, with everything undone", async () => {
    await client.query(
      "create function outrider_enqueue(text, json, text, text, text, jsonb, uuid) returns text language sql as 'select 1::text'",
    );
    const before = await describeSchema(client, "public");
    const error = await refusal(client, { schema: "public" });
    expect(error.code).toBe("MIGRATION_FAILED");
    expect(error.message).toContain("0002_enqueue_function (up) failed, nothing was changed");
    expect(await describeSchema(client, "public")).toEqual(before);
  });
});
