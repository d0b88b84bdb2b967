/** Migrating through PgBouncer in transaction mode, where a session belongs to everybody. */
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { migrate } from "../../src/outbox/migrator.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { PostgresOutbox } from "../../src/outbox/postgres-outbox.ts";
import { PostgresSession } from "../../src/outbox/postgres-session.ts";
import { describeSchema } from "../support/catalog.ts";
import { databaseConfig } from "../support/migrated-database.ts";
import { all } from "../support/migration-names.ts";
import { findPgbouncer, type Pgbouncer, startPgbouncer } from "../support/pgbouncer.ts";
import { type PlainDatabase, plainDatabase } from "../support/plain-database.ts";

const found = await findPgbouncer();
const reason = "missing" in found ? found.missing : undefined;
if (reason !== undefined) console.warn(`migrating through PgBouncer is not tried: ${reason}`);

describe.skipIf(reason !== undefined)("through PgBouncer in transaction mode", () => {
  let database: PlainDatabase;
  let bouncer: Pgbouncer;
  let clients: pg.Client[] = [];
  beforeAll(async () => {
    database = await plainDatabase(inject("postgresUrl"));
    bouncer = await startPgbouncer("file" in found ? found.file : "", database.url);
  });
  afterAll(async () => {
    await bouncer?.stop();
    await database?.drop();
  });
  beforeEach(() => {
    clients = [];
  });
  afterEach(() => Promise.all(clients.map((client) => client.end())));

  /** As the command does it: with session time-outs in the start-up message, which the pooler refuses. */
  const enter = async (): Promise<pg.Client> => {
    const client = await connect(databaseConfig(bouncer.url));
    clients.push(client);
    return client;
  };

  it("is what it says: two clients share one backend", async () => {
    const [one, two] = [await enter(), await enter()];
    const pidOf = async (client: pg.Client) =>
      (await client.query("select pg_backend_pid() as pid")).rows[0].pid;
    expect(await pidOf(one)).toBe(await pidOf(two));
    // What the migrator must not do: a session setting of one client reaches the other.
    await one.query("set work_mem = '12345kB'");
    expect((await two.query("show work_mem")).rows).toEqual([{ work_mem: "12345kB" }]);
    await two.query("reset work_mem");
  });

  it("is noticed by a relay, which then keeps no backend waiting, and looks all the same", async () => {
    await migrate(await enter(), { schema: "watched" });
    const outbox = new PostgresOutbox(databaseConfig(bouncer.url, { schema: "watched" }), []);
    await outbox.inspect();
    const mark = await outbox.peek();
    expect(mark).not.toBeNull();
    expect(await outbox.awaitChange(mark ?? "", 5, 1_000)).toBeNull();
    for (const _ of [1, 2, 3]) expect((await outbox.look()).writers).toEqual([]);
    await outbox.close();
  });

  it.each([
    ["refuses", []],
    ["swallows", ["options"]],
  ])(
    "where it swallows time-outs and %s what binds the planner, a relay keeps no plans there",
    async (_, more) => {
      const timeouts = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
      const other = await startPgbouncer("file" in found ? found.file : "", database.url, [
        ...timeouts,
        ...more,
      ]);
      const session = new PostgresSession(databaseConfig(other.url), "swallowed", { isPinned: true });
      try {
        const names = "select count(*)::int from pg_prepared_statements where name like 'outrider%'";
        for (const _again of [1, 2, 3])
          expect(await session.query("select $1::int", [1], { keep: "pinned" })).toEqual([[1]]);
        expect(await session.queryTogether([{ text: "select $1::int", values: [1] }])).toBeNull();
        expect(await session.query(names)).toEqual([[0]]);
        expect(await session.isPooled()).toBe(false);
      } finally {
        await session.close();
        await other.stop();
      }
    },
  );

  it("makes the same as directly, and nothing of a run is left for others", async () => {
    const client = await enter();
    const other = await enter();
    const settings = "select name, setting from pg_settings where source = 'session' order by name";
    const before = (await other.query(settings)).rows;
    expect((await migrate(client, { schema: "pooled", payloadType: "jsonb" })).migrations).toHaveLength(
      all.length,
    );
    expect((await migrate(client, { schema: "pooled" })).migrations).toEqual([]);
    const direct = await database.connect();
    await migrate(direct, { schema: "direct", payloadType: "jsonb" });
    expect(await describeSchema(direct, "pooled")).toEqual(
      (await describeSchema(direct, "direct")).map((line) => line.replaceAll("direct", "pooled")),
    );
    expect((await other.query(settings)).rows).toEqual(before);
    const left = await direct.query(
      "select count(*)::int as locks from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
    );
    expect(left.rows).toEqual([{ locks: 0 }]);
    expect((await migrate(client, { schema: "pooled", direction: "down" })).migrations).toHaveLength(
      all.length,
    );
  });

  it("runs once when many run it at the same moment", async () => {
    const many = await Promise.all(Array.from({ length: 5 }, enter));
    const reports = await Promise.all(many.map((client) => migrate(client, { schema: "shared" })));
    expect(reports.map(({ migrations }) => migrations.length).sort()).toEqual([0, 0, 0, 0, all.length]);
  });

  it("names who is in the way, and leaves the backend usable", async () => {
    const client = await enter();
    const direct = await database.connect(undefined, { application_name: "checkout service" });
    await direct.query(
      "create schema busy; create table busy.undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz, event_payload json)",
    );
    await direct.query("begin; lock table busy.undispatched_events in row exclusive mode");
    await expect(migrate(client, { schema: "busy", lockTimeoutMs: 50 })).rejects.toMatchObject({
      code: "MIGRATION_BUSY",
      message: expect.stringContaining("(checkout service)"),
    });
    await direct.query("rollback");
    expect((await migrate(client, { schema: "busy" })).migrations).toHaveLength(all.length);
  });
});
