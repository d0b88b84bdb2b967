/** The migrator as a role that was granted little: it needs no more than it uses, and says what it lacks. */
import type pg from "pg";
import { afterAll, afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { OutriderError } from "../../src/foundation/errors.ts";
import { type MigrateOptions, migrate } from "../../src/outbox/migrator.ts";
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

describe.each(servers)("with few rights, on $label", ({ url }) => {
  let database: PlainDatabase;
  beforeEach(async () => {
    database = await plainDatabase(url, { mayCreate: false });
  });
  afterEach(() => database.drop());

  it("needs no right on the database when the schema is there", async () => {
    const admin = await database.connect(database.adminUrl);
    await admin.query(`create schema prepared authorization ${database.role}`);
    const client = await database.connect();
    expect((await migrate(client, { schema: "prepared" })).migrations).toEqual(all);
  });

  it("says what to grant when the schema is missing and may not be made", async () => {
    const client = await database.connect();
    const error = await refusal(client, { schema: "missing" });
    expect(error.code).toBe("MIGRATION_FAILED");
    expect(error.message).toContain(`${database.role} may not create schema missing`);
    expect(error.repair).toContain(`create schema missing authorization ${database.role}`);
  });

  it("says what to grant when it may not create tables", async () => {
    const admin = await database.connect(database.adminUrl);
    await admin.query("revoke create on schema public from public");
    const error = await refusal(await database.connect(), { schema: "public" });
    expect(error.code).toBe("MIGRATION_FAILED");
    expect(error.repair).toContain('grant usage, create on schema "public"');
  });

  it("says so when someone else owns the table", async () => {
    const admin = await database.connect(database.adminUrl);
    await admin.query(
      `create table undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz, event_payload json);
       grant all on undispatched_events to ${database.role}; grant all on schema public to ${database.role}`,
    );
    const error = await refusal(await database.connect(), { schema: "public" });
    expect(error.message).toContain("must be owner of table undispatched_events");
    expect(error.repair).toContain("run it as the owner of the table");
  });

  it("finds nothing to do without a right to do anything, when all is done", async () => {
    const admin = await database.connect(database.adminUrl);
    await migrate(admin, { schema: "done" });
    await admin.query(
      `grant usage on schema done to ${database.role}; grant select on done.outrider_migrations to ${database.role}`,
    );
    expect((await migrate(await database.connect(), { schema: "done" })).migrations).toEqual([]);
  });
});
