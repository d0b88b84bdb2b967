/** The printed script: psql makes of it what the migrator makes. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { migrate, renderSql, type ScriptOptions } from "../../src/outbox/migrator.ts";
import { describeSchema } from "../support/catalog.ts";
import { all } from "../support/migration-names.ts";
import { type PlainDatabase, plainDatabase } from "../support/plain-database.ts";
import { postgresServers } from "../support/postgres-servers.ts";

const servers = await postgresServers(inject("postgresUrl"));
afterAll(() => Promise.all(servers.map((server) => server.stop())));

const hasPsql = await promisify(execFile)("psql", ["--version"]).then(
  () => true,
  () => false,
);
if (!hasPsql)
  console.info("the printed script is run by the driver alone: psql is not installed (postgresql-client)");

/** Runs a script, and returns what was said aloud; rejects with psql's own error message. */
function runPsql(url: string, script: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      "psql",
      ["--no-psqlrc", "--set", "ON_ERROR_STOP=1", url],
      (error, stdout, stderr) => (error === null ? resolve(stdout + stderr) : reject(new Error(stderr))),
    );
    child.stdin?.end(script);
  });
}

const runners = [
  {
    by: "the driver",
    run: async (client: pg.Client, _url: string, script: string) => void (await client.query(script)),
  },
  ...(hasPsql
    ? [
        {
          by: "psql",
          run: async (_client: pg.Client, url: string, script: string) => void (await runPsql(url, script)),
        },
      ]
    : []),
];

describe.each(servers)("on $label", ({ url }) => {
  describe.each(runners)("the script run by $by", ({ run }) => {
    let database: PlainDatabase;
    let client: pg.Client;
    let schema = "";
    let count = 0;
    beforeAll(async () => {
      database = await plainDatabase(url);
      client = await database.connect();
    });
    afterAll(() => database.drop());
    beforeEach(() => {
      schema = `we"ird; drop '${++count}\\`;
    });
    const script = (options: Partial<ScriptOptions> = {}) =>
      run(client, database.url, renderSql({ schema, ...options }));
    const named = (relation: string) => `${pg.escapeIdentifier(schema)}.${relation}`;

    it.each(["json", "jsonb", "bytea"] as const)(
      "makes what the migrator makes (%s)",
      async (payloadType) => {
        schema = `plain_${payloadType}`;
        await script({ payloadType });
        const made = await describeSchema(client, schema);
        const other = `${schema}_twin`;
        await migrate(client, { schema: other, payloadType });
        const twin = await describeSchema(client, other);
        expect(made.some((line) => line.startsWith("function"))).toBe(true);
        expect(made).toEqual(twin.map((line) => line.replaceAll(other, schema)));
        expect((await migrate(client, { schema })).migrations).toEqual([]);
      },
    );

    it("may be run twice, and after the migrator; also for another payload type it changes nothing then", async () => {
      await migrate(client, { schema });
      const made = await describeSchema(client, schema);
      await script();
      await script({ payloadType: "bytea" });
      expect(await describeSchema(client, schema)).toEqual(made);
    });

    it("goes down as far as the migrator, and is as careful", async () => {
      await migrate(client, { schema });
      await script({ direction: "down", to: "0001_undispatched_events" });
      expect((await migrate(client, { schema })).migrations).toEqual(all.slice(1));
      await client.query(
        `insert into ${named("undispatched_events")} (aggregate_id, event_payload) values ('a', '{}')`,
      );
      await expect(script({ direction: "down" })).rejects.toThrow("still holds events");
      await client.query("rollback");
      await script({ direction: "down", isForced: true });
      expect(await describeSchema(client, schema)).toEqual([]);
      await script({ direction: "down" });
    });

    it("refuses a database that is newer, and an edited file", async () => {
      await migrate(client, { schema });
      const bookkeeping = named("outrider_migrations");
      await client.query(`insert into ${bookkeeping} (name, checksum) values ('9999_future', 'x')`);
      await expect(script()).rejects.toThrow("9999_future");
      await client.query("rollback");
      await client.query(`delete from ${bookkeeping} where name = '9999_future'`);
      await client.query(`update ${bookkeeping} set checksum = 'x' where name like '0002%'`);
      await expect(script()).rejects.toThrow("0002_enqueue_function");
      await client.query("rollback");
    });

    it("leaves nothing behind when it fails in the middle", async () => {
      await client.query(
        `create schema ${pg.escapeIdentifier(schema)}; create view ${named("undispatched_events")} as select 1`,
      );
      const before = await describeSchema(client, schema);
      await expect(script()).rejects.toThrow("it is a view");
      await client.query("rollback");
      expect(await describeSchema(client, schema)).toEqual(before);
    });
  });
});
