/** Several at once: migrators beside each other, and migrators beside the writers of an application. */
import type pg from "pg";
import { afterAll, afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { OutriderError } from "../../src/foundation/errors.ts";
import { type MigrateOptions, migrate } from "../../src/outbox/migrator.ts";
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

  it("runs once when many run it at the same moment", async () => {
    const clients = await Promise.all(Array.from({ length: 6 }, () => database.connect()));
    const reports = await Promise.all(clients.map((one) => migrate(one, { schema: "shared" })));
    expect(reports.map(({ migrations }) => migrations.length).sort()).toEqual([0, 0, 0, 0, 0, all.length]);
  });

  it("reads the bookkeeping anew after its turn came, also where the default isolation is stricter", async () => {
    const options = {
      options: "-c default_transaction_isolation=serializable -c default_transaction_read_only=on",
    };
    const [one, two] = await Promise.all([
      database.connect(undefined, options),
      database.connect(undefined, options),
    ]);
    const reports = await Promise.all([
      migrate(one, { schema: "public" }),
      migrate(two, { schema: "public" }),
    ]);
    expect(reports.map(({ migrations }) => migrations.length).sort()).toEqual([0, all.length]);
  });

  it("gives up when a table is in use, names who uses it, and changes nothing", async () => {
    await client.query(
      "create table undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz, event_payload json)",
    );
    const writer = await database.connect(undefined, { application_name: "checkout service" });
    await writer.query("begin; insert into undispatched_events values (gen_random_uuid(), 'a', now(), '{}')");
    const { rows } = await writer.query<{ pid: number }>("select pg_backend_pid() as pid");
    const before = await describeSchema(client, "public");
    const error = await refusal(client, { schema: "public", lockTimeoutMs: 50 });
    expect(error.code).toBe("MIGRATION_BUSY");
    expect(error.retriable).toBe(true);
    expect(error.message).toContain(`held by pid ${rows[0]?.pid} (checkout service)`);
    expect(error.repair).toContain(`pg_terminate_backend(${rows[0]?.pid})`);
    expect(await describeSchema(client, "public")).toEqual(before);
    await writer.query("commit");
    expect((await migrate(client, { schema: "public" })).migrations).toEqual(all);
    expect((await client.query("select from undispatched_events")).rowCount).toBe(1);
  });

  it("gives up when another migrator takes too long, and names it", async () => {
    const other = await database.connect(undefined, { application_name: "another migrator" });
    await other.query("begin; select pg_advisory_xact_lock(1333097586, 2)");
    const error = await refusal(client, { schema: "public", turnTimeoutMs: 50 });
    expect(error.code).toBe("MIGRATION_BUSY");
    expect(error.message).toContain("another migrator");
    expect(await describeSchema(client, "public")).toEqual([]);
  });
});
