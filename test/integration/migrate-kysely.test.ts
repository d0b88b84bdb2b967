/** The same migrations through Kysely's own Migrator, and beside an application that uses it too. */
import {
  Kysely as Database,
  type Kysely,
  type MigrationProvider,
  Migrator,
  NO_MIGRATIONS,
  PostgresDialect,
  sql,
} from "kysely";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { outriderMigrations } from "../../src/migrations.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { describeSchema } from "../support/catalog.ts";
import { all } from "../support/migration-names.ts";
import { type PlainDatabase, plainDatabase } from "../support/plain-database.ts";

/** What an application of its own migrates, with Kysely's default table names. */
const applicationMigrations: MigrationProvider = {
  getMigrations: async () => ({
    "001_orders": {
      up: async (db: Kysely<unknown>) => {
        await db.schema.createTable("orders").addColumn("id", "integer").execute();
      },
      down: async (db: Kysely<unknown>) => {
        await db.schema.dropTable("orders").execute();
      },
    },
  }),
};

describe("Kysely's Migrator", () => {
  let database: PlainDatabase;
  let client: pg.Client;
  let db: Database<unknown>;
  beforeEach(async () => {
    database = await plainDatabase(inject("postgresUrl"));
    client = await database.connect();
    db = new Database({
      dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url, max: 2 }) }),
    });
  });
  afterEach(async () => {
    await db.destroy();
    await database.drop();
  });

  const outbox = (provider: MigrationProvider, isTransactional = true) =>
    new Migrator({
      db,
      provider,
      migrationTableName: "outbox_migration",
      migrationLockTableName: "outbox_migration_lock",
      disableTransactions: !isTransactional,
    });
  const run = async (
    work: Promise<{ error?: unknown; results?: readonly { migrationName: string; status: string }[] }>,
  ) => {
    const { error, results } = await work;
    if (error !== undefined) throw error;
    return results?.map(({ migrationName, status }) => `${migrationName} ${status}`);
  };
  const ours = (lines: string[]) =>
    lines.filter((line) => !/outbox_migration|kysely_migration|orders/.test(line));

  it.each([true, false])(
    "makes what the migrator makes, up and down (in a transaction: %s)",
    async (isTransactional) => {
      const provider: MigrationProvider = outriderMigrations({ schema: "events", payloadType: "jsonb" });
      const migrator = outbox(provider, isTransactional);
      expect(await run(migrator.migrateToLatest())).toEqual(all.map((name) => `${name} Success`));
      await migrate(client, { schema: "twin", payloadType: "jsonb" });
      const made = await describeSchema(client, "events");
      expect(made).toEqual(
        (await describeSchema(client, "twin")).map((line) => line.replaceAll("twin", "events")),
      );
      expect(await describeSchema(client, "public")).toEqual(
        (await describeSchema(client, "public")).filter((line) => line.includes("outbox_migration")),
      );
      expect(await run(migrator.migrateToLatest())).toEqual([]);
      expect(await run(migrator.migrateDown())).toEqual([`${all.at(-1)} Success`]);
      expect(await run(migrator.migrateTo(NO_MIGRATIONS))).toEqual(
        all
          .slice(0, -1)
          .toReversed()
          .map((name) => `${name} Success`),
      );
      expect(await describeSchema(client, "events")).toEqual([]);
    },
  );

  it("stands beside an application that uses Kysely's default names, in either order", async () => {
    const application = new Migrator({ db, provider: applicationMigrations });
    const migrator = outbox(outriderMigrations({ schema: "public" }));
    expect(await run(application.migrateToLatest())).toEqual(["001_orders Success"]);
    expect(await run(migrator.migrateToLatest())).toEqual(all.map((name) => `${name} Success`));
    expect(await run(application.migrateToLatest())).toEqual([]);
    expect(await run(migrator.migrateTo(NO_MIGRATIONS))).toHaveLength(all.length);
    expect(await run(application.migrateTo(NO_MIGRATIONS))).toEqual(["001_orders Success"]);
    expect(await run(migrator.migrateToLatest())).toHaveLength(all.length);
    expect(await run(application.migrateToLatest())).toEqual(["001_orders Success"]);
  });

  it("stands beside our own migrator in a database whose application uses Kysely", async () => {
    const application = new Migrator({ db, provider: applicationMigrations });
    expect(await run(application.migrateToLatest())).toEqual(["001_orders Success"]);
    await migrate(client, { schema: "public" });
    expect(await run(application.migrateToLatest())).toEqual([]);
    expect(await run(application.migrateTo(NO_MIGRATIONS))).toEqual(["001_orders Success"]);
  });

  it("shares the bookkeeping with our own migrator: either finds what the other did", async () => {
    const migrator = outbox(outriderMigrations({ schema: "public" }));
    expect(await run(migrator.migrateToLatest())).toHaveLength(all.length);
    expect((await migrate(client, { schema: "public" })).migrations).toEqual([]);
    const made = ours(await describeSchema(client, "public"));
    await migrate(client, { schema: "other" });
    expect(await run(outboxIn("other").migrateToLatest())).toHaveLength(all.length);
    expect(ours(await describeSchema(client, "other"))).toEqual(
      made.map((line) => line.replaceAll("public", "other")),
    );
  });
  const outboxIn = (schema: string) =>
    new Migrator({ db, provider: outriderMigrations({ schema }), migrationTableSchema: schema });

  it("gives the settings of Kysely's transaction back", async () => {
    const provider = outriderMigrations({ schema: "events", lockTimeoutMs: 1234 });
    const migrations = await provider.getMigrations();
    await db.transaction().execute(async (trx) => {
      const read = () =>
        sql<object>`select name, setting from pg_settings where name in
          ('search_path', 'lock_timeout', 'client_min_messages', 'synchronize_seqscans', 'row_security') order by name`.execute(
          trx,
        );
      await sql`set local search_path = public, "we""ird"`.execute(trx);
      const before = (await read()).rows;
      for (const name of all) await migrations[name]?.up(trx);
      for (const name of all.toReversed()) await migrations[name]?.down(trx);
      expect((await read()).rows).toEqual(before);
    });
  });

  it("keeps the refusals: events that wait are not dropped unless forced", async () => {
    const provider = outriderMigrations({ schema: "public" });
    await run(outbox(provider).migrateToLatest());
    await client.query("insert into undispatched_events (aggregate_id, event_payload) values ('a', '{}')");
    await expect(run(outbox(provider).migrateTo(NO_MIGRATIONS))).rejects.toThrow("still holds events");
    expect((await client.query("select from undispatched_events")).rowCount).toBe(1);
    await run(outbox(outriderMigrations({ schema: "public", isForced: true })).migrateTo(NO_MIGRATIONS));
    expect(ours(await describeSchema(client, "public"))).toEqual([]);
  });
});
