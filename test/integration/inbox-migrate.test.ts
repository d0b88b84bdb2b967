/** The inbox alone in a consumer's database, the outbox alone, and both; up, down, printed and through Kysely. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Kysely, Migrator, PostgresDialect } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { outriderMigrations } from "../../src/migrations.ts";
import { migrate, renderSql } from "../../src/outbox/migrator.ts";
import { describeSchema } from "../support/catalog.ts";
import { all } from "../support/migration-names.ts";
import { type PlainDatabase, plainDatabase } from "../support/plain-database.ts";
import { postgresServers } from "../support/postgres-servers.ts";

const servers = await postgresServers(inject("postgresUrl"));
afterAll(() => Promise.all(servers.map((server) => server.stop())));

const inboxAlone = all.filter((name) => name.endsWith("_inbox"));
const outboxAlone = all.filter((name) => !name.endsWith("_inbox"));

describe.each(servers)("the inbox on $label", ({ url }) => {
  let database: PlainDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await plainDatabase(url);
    client = await database.connect();
  });
  afterAll(() => database.drop());

  const tablesOf = async (schema: string) =>
    (
      await client.query<{ name: string }>(
        "select tablename::text as name from pg_tables where schemaname = $1 order by 1",
        [schema],
      )
    ).rows.map(({ name }) => name);

  it("is installed alone, is found by a second run, and the outbox can follow", async () => {
    expect((await migrate(client, { schema: "alone", only: "inbox" })).migrations).toEqual(inboxAlone);
    expect(await tablesOf("alone")).toEqual(["outrider_migrations", "processed_events"]);
    expect((await migrate(client, { schema: "alone", only: "inbox" })).migrations).toEqual([]);
    expect((await migrate(client, { schema: "alone" })).migrations).toEqual(outboxAlone);
    await migrate(client, { schema: "whole" });
    const whole = await describeSchema(client, "whole");
    expect(await describeSchema(client, "alone")).toEqual(
      whole.map((line) => line.replaceAll("whole", "alone")),
    );
  });

  it("is left out, and can follow", async () => {
    expect((await migrate(client, { schema: "without", only: "outbox" })).migrations).toEqual(outboxAlone);
    expect(await tablesOf("without")).not.toContain("processed_events");
    expect((await migrate(client, { schema: "without" })).migrations).toEqual(inboxAlone);
  });

  it("goes down alone, but not while it holds marks, unless forced", async () => {
    await migrate(client, { schema: "down" });
    await client.query(
      "insert into down.processed_events (consumer, event_id) values ('billing', gen_random_uuid())",
    );
    const down = { schema: "down", direction: "down", only: "inbox" } as const;
    await expect(migrate(client, down)).rejects.toThrow("still holds marks of processed events");
    expect((await migrate(client, { ...down, isForced: true })).migrations).toEqual(inboxAlone);
    expect(await tablesOf("down")).toContain("undispatched_events");
  });

  it("does not take a table of another make for its own, and says what can be done", async () => {
    await client.query("create schema foreign_one; create table foreign_one.processed_events (id integer)");
    await expect(migrate(client, { schema: "foreign_one" })).rejects.toMatchObject({
      code: "MIGRATION_FAILED",
      message: expect.stringContaining("there is a processed_events already"),
      repair: expect.stringContaining("--only outbox"),
    });
    expect(await tablesOf("foreign_one")).toEqual(["processed_events"]);
    await migrate(client, { schema: "foreign_one", only: "outbox" });
    expect(await tablesOf("foreign_one")).toContain("undispatched_events");
  });

  it("is the same from the printed script, which is safe to run twice", async () => {
    const script = renderSql({ schema: "printed", only: "inbox" });
    expect(script).toContain(`-- Outrider, up: ${inboxAlone.join(", ")}\n`);
    for (let run = 0; run < 2; run++) await client.query(script);
    await migrate(client, { schema: "twin", only: "inbox" });
    const twin = await describeSchema(client, "twin");
    expect(await describeSchema(client, "printed")).toEqual(
      twin.map((line) => line.replaceAll("twin", "printed")),
    );
    await client.query(renderSql({ schema: "printed", only: "inbox", direction: "down" }));
    expect(await tablesOf("printed")).toEqual([]);
  });

  it("refuses an empty name and a name of 256 characters, and needs no more than a name and an id", async () => {
    await migrate(client, { schema: "checked", only: "inbox" });
    const insert = (consumer: string) =>
      client.query(
        "insert into checked.processed_events (consumer, event_id) values ($1, gen_random_uuid())",
        [consumer],
      );
    for (const consumer of ["", "x".repeat(256)]) {
      await expect(insert(consumer)).rejects.toMatchObject({ code: "23514" });
    }
    await insert("x".repeat(255));
  });
});

describe("the inbox alone", () => {
  let database: PlainDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await plainDatabase(inject("postgresUrl"));
    client = await database.connect();
  });
  afterAll(() => database.drop());

  it("comes through Kysely's Migrator", async () => {
    const db = new Kysely<unknown>({
      dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url, max: 2 }) }),
    });
    const migrator = new Migrator({
      db,
      provider: outriderMigrations({ schema: "kysely", only: "inbox" }),
      migrationTableName: "inbox_migration",
      migrationLockTableName: "inbox_migration_lock",
    });
    try {
      const { error, results } = await migrator.migrateToLatest();
      expect([error, results?.map(({ migrationName }) => migrationName)]).toEqual([undefined, inboxAlone]);
    } finally {
      await db.destroy();
    }
    expect((await migrate(client, { schema: "kysely", only: "inbox" })).migrations).toEqual([]);
  });

  it("comes through the command line", async () => {
    const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));
    const outrider = (...args: readonly string[]) =>
      new Promise<string>((resolve) => {
        const env = { PATH: process.env.PATH, DATABASE_URL: database.url };
        execFile(
          process.execPath,
          [entry, "migrate", "--schema", "cli", ...args],
          { env },
          (_, stdout, stderr) => resolve(stdout + stderr),
        );
      });
    expect(await outrider("--only", "inbox")).toBe(`schema "cli": applied\n  ${inboxAlone.join()}\n`);
    expect(await outrider("--only", "inbox", "--sql")).toContain("create table processed_events");
    expect(await outrider("--only", "inbox", "--sql")).not.toContain("create table undispatched_events");
    expect(await outrider("--only", "letters")).toContain("Allowed choices are outbox, inbox");
  });
});
