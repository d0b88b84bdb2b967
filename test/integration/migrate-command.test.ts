/** `outrider migrate`, as a process. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { exitCodes } from "../../src/foundation/errors.ts";
import { describeSchema } from "../support/catalog.ts";
import { all, shipped } from "../support/migration-names.ts";
import { type PlainDatabase, plainDatabase } from "../support/plain-database.ts";

const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const narrow = shipped.filter((name) => !all.includes(name));

describe("outrider migrate", () => {
  let database: PlainDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await plainDatabase(inject("postgresUrl"));
    client = await database.connect();
  });
  afterAll(() => database.drop());

  const outrider = (schema: string, args: readonly string[], environment = { DATABASE_URL: database.url }) =>
    new Promise<Ended>((resolve) => {
      execFile(
        process.execPath,
        [entry, "migrate", "--schema", schema, ...args],
        { env: { PATH: process.env.PATH, ...environment } },
        (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
    });

  it("applies, says what it applied, and is up to date the second time", async () => {
    expect(await outrider("plain", [])).toEqual({
      code: 0,
      stdout: `schema "plain": applied\n${all.map((name) => `  ${name}\n`).join("")}`,
      stderr: "",
    });
    expect(await outrider("plain", [])).toEqual({
      code: 0,
      stdout: 'schema "plain" is up to date\n',
      stderr: "",
    });
  });

  it("speaks JSON, runs dry, goes down by a step, and refuses to lose events", async () => {
    const parsed = async (...args: string[]) =>
      JSON.parse((await outrider("told", [...args, "--json"])).stdout);
    expect(await parsed("--dry-run")).toEqual({
      schema: "told",
      direction: "up",
      isDryRun: true,
      migrations: all,
    });
    expect(await describeSchema(client, "told")).toEqual([]);
    expect((await parsed()).migrations).toEqual(all);
    expect((await parsed("--down", "--to", all[0] as string)).migrations).toEqual(all.slice(1).toReversed());
    await client.query(
      "insert into told.undispatched_events (aggregate_id, event_payload) values ('a', '{}')",
    );
    const refused = await outrider("told", ["--down"]);
    expect(refused.code).toBe(exitCodes.failed);
    expect(refused.stderr).toContain("still holds events");
    expect(refused.stderr).toContain("what to do: let the relay publish them first");
    expect((await parsed("--down", "--force")).migrations).toEqual([all[0]]);
  });

  it("narrows the fence where it is asked to, and takes that back", async () => {
    const parsed = async (...args: string[]) =>
      JSON.parse((await outrider("narrow", [...args, "--json"])).stdout).migrations;
    expect(await parsed()).toEqual(all);
    expect(await parsed("--narrow-fence")).toEqual(narrow);
    expect(await parsed("--narrow-fence")).toEqual([]);
    expect(await parsed()).toEqual([]);
    expect(await parsed("--down", "--only", "narrow-fence")).toEqual(narrow.toReversed());
    expect(await parsed("--only", "narrow-fence")).toEqual(narrow);
    expect(await parsed("--down")).toEqual(shipped.toReversed());
    expect(await describeSchema(client, "narrow")).toEqual([]);
    const both = await outrider("narrow", ["--down", "--narrow-fence"]);
    expect(both.code).toBe(exitCodes.usage);
  });

  it("is safe as two processes at once", async () => {
    const ended = await Promise.all([outrider("twice", ["--json"]), outrider("twice", ["--json"])]);
    expect(ended.map(({ code }) => code)).toEqual([0, 0]);
    expect(ended.map(({ stdout }) => JSON.parse(stdout).migrations.length).sort()).toEqual([0, all.length]);
  });

  it("prints the script without a connection, or a single setting", async () => {
    const printed = await outrider(
      'od"d',
      ["--sql", "--payload-type", "bytea"],
      {} as { DATABASE_URL: string },
    );
    expect(printed.code).toBe(0);
    await client.query(printed.stdout);
    expect((await outrider('od"d', ["--payload-type", "bytea"])).stdout).toContain("up to date");
  });

  it("ends with 69 when a table is in use, and names who uses it", async () => {
    await client.query(
      "create schema busy; create table busy.undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz, event_payload json)",
    );
    const writer = await database.connect(undefined, { application_name: "checkout service" });
    await writer.query("begin; lock table busy.undispatched_events in row exclusive mode");
    const busy = await outrider("busy", ["--lock-timeout-ms", "50"]);
    expect(busy.code).toBe(exitCodes.unavailable);
    expect(busy.stderr).toContain("(checkout service)");
    expect(busy.stderr).toContain("pg_terminate_backend");
  });

  it("ends with 78 when the database is newer, with 69 when it is away, with 2 for a wrong flag", async () => {
    await outrider("newer", []);
    await client.query("insert into newer.outrider_migrations (name, checksum) values ('9999_future', 'x')");
    const newer = await outrider("newer", []);
    expect([newer.code, newer.stderr]).toEqual([exitCodes.refused, expect.stringContaining("9999_future")]);
    const away = await outrider("any", [], {
      DATABASE_URL: "postgres://someone:hunter2@127.0.0.1:1/nowhere",
    });
    expect(away.code).toBe(exitCodes.unavailable);
    expect(away.stderr).not.toContain("hunter2");
    expect((await outrider("any", ["--payload-type", "xml"])).code).toBe(exitCodes.usage);
    expect((await outrider("any", ["--lock-timeout-ms", "0"])).code).toBe(exitCodes.usage);
    expect((await outrider("any", ["--dry-run", "--sql"])).code).toBe(exitCodes.usage);
  });
});
