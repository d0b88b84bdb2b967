/** The examples are run as a reader would run them, and judged by the rows they leave. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";

const root = path.resolve(import.meta.dirname, "../..");
const tsx = path.join(root, "node_modules/.bin/tsx");

describe("the example", () => {
  let database: MigratedDatabase;
  let client: pg.Client;

  beforeEach(async () => {
    database = await migratedDatabase();
    client = new pg.Client(database.url);
    await client.connect();
  });
  afterEach(async () => {
    await client.end();
    await database.drop();
  });

  const rows = async () => {
    const found = await client.query<{ event_type: string | null; is_of_order: boolean }>(
      `select event_type, aggregate_id in (select id::text from orders) as is_of_order
         from undispatched_events order by created_at, seq`,
    );
    return found.rows.map((row) => [row.event_type, row.is_of_order]);
  };

  it.each([
    ["pg.ts", ["OrderPlaced", "PaymentRequested"]],
    ["kysely.ts", ["OrderPlaced"]],
    ["drizzle.ts", ["OrderPlaced"]],
  ])("%s places an order with its events", async (file, eventTypes) => {
    const { stdout } = await promisify(execFile)(
      tsx,
      ["--tsconfig", "examples/tsconfig.json", `examples/${file}`],
      {
        cwd: root,
        env: { ...process.env, DATABASE_URL: database.url },
      },
    );
    expect(stdout).toMatch(/^order [0-9a-f-]{36} placed, with the event/);
    expect(await rows()).toEqual(eventTypes.map((eventType) => [eventType, true]));
  });

  it("plain.sql does the same without a library", async () => {
    await client.query(await readFile(path.join(root, "examples/plain.sql"), "utf8"));
    expect(await rows()).toEqual([
      [null, true],
      ["OrderPlaced", true],
    ]);
  });
});
