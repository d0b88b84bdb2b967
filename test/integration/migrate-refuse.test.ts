/** What cannot become an outbox: an error that names column, reason and repair, and nothing is changed. */
import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { OutriderError } from "../../src/foundation/errors.ts";
import { type MigrateOptions, migrate } from "../../src/outbox/migrator.ts";
import { describeSchema } from "../support/catalog.ts";
import { type PlainDatabase, plainDatabase } from "../support/plain-database.ts";
import { postgresServers } from "../support/postgres-servers.ts";

const servers = await postgresServers(inject("postgresUrl"));
afterAll(() => Promise.all(servers.map((server) => server.stop())));

async function refusal(client: pg.Client, options: MigrateOptions): Promise<OutriderError> {
  const error = await migrate(client, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof OutriderError) return error;
  throw error ?? new Error("the table was adopted");
}

const four = "event_id uuid, aggregate_id text, created_at timestamptz, event_payload json";
const row = "gen_random_uuid(), 'a', now(), '{}'";
const secret = "hunter2-in-the-payload";
const cases: readonly (readonly [what: string, setup: string, message: string, repair: string])[] = [
  [
    "a null aggregate_id",
    `create table undispatched_events (${four}); insert into undispatched_events values (gen_random_uuid(), null, now(), '{}')`,
    "column aggregate_id is null in 1 row(s)",
    "where aggregate_id is null",
  ],
  [
    "null everywhere, all at once",
    `create table undispatched_events (${four}); insert into undispatched_events values (null, null, null, null)`,
    "column event_id is null in 1 row(s); column aggregate_id is null in 1 row(s); column created_at is null in 1 row(s); column event_payload is null in 1 row(s)",
    "set event_id = gen_random_uuid()",
  ],
  [
    "duplicate ids",
    `create table undispatched_events (${four}); insert into undispatched_events select '33333333-3333-4333-8333-333333333333', 'a', now(), '{}' from generate_series(1, 2)`,
    "column event_id has duplicates, among them 33333333-3333-4333-8333-333333333333",
    "an id of its own",
  ],
  [
    "missing columns",
    "create table undispatched_events (event_id uuid, event_payload json)",
    "column aggregate_id is missing; column created_at is missing",
    "add column aggregate_id text",
  ],
  [
    "a foreign id",
    "create table undispatched_events (event_id bigint, aggregate_id text, created_at timestamptz, event_payload json)",
    "column event_id has type bigint, not uuid",
    "alter column event_id type uuid",
  ],
  [
    "a foreign aggregate",
    "create table undispatched_events (event_id uuid, aggregate_id integer, created_at timestamptz, event_payload json)",
    "column aggregate_id has type integer",
    "alter column aggregate_id type text using aggregate_id::text",
  ],
  [
    "a foreign time",
    "create table undispatched_events (event_id uuid, aggregate_id text, created_at date, event_payload json)",
    "column created_at has type date",
    "timestamp with time zone",
  ],
  [
    "a foreign payload",
    "create table undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz, event_payload xml)",
    "column event_payload has type xml",
    "alter column event_payload type json",
  ],
  [
    "a column of ours with another meaning",
    `create table undispatched_events (${four}, shard smallint, topic integer, seq bigint)`,
    "column seq has no default; column topic has type integer, not text or character varying; column shard is not generated",
    "rename column shard to my_shard",
  ],
  [
    "a view",
    `create table t (${four}); create view undispatched_events as select * from t`,
    "it is a view",
    "choose another schema",
  ],
  [
    "a materialized view",
    `create table t (${four}); create materialized view undispatched_events as select * from t`,
    "it is a materialized view",
    "choose another schema",
  ],
  [
    "a partitioned table",
    `create table undispatched_events (${four}) partition by hash (aggregate_id)`,
    "it is a partitioned table",
    "choose another schema",
  ],
  [
    "a partition",
    `create table t (${four}) partition by list (aggregate_id); create table undispatched_events partition of t default`,
    "it is a partition",
    "choose another schema",
  ],
  [
    "an heir",
    `create table t (${four}); create table undispatched_events () inherits (t)`,
    "takes part in table inheritance",
    "choose another schema",
  ],
  [
    "an unlogged table",
    `create unlogged table undispatched_events (${four}); insert into undispatched_events values (${row})`,
    "it is UNLOGGED",
    "set logged",
  ],
  ["a sequence", "create sequence undispatched_events", "it is no table", "choose another schema"],
  [
    "text that is no JSON",
    `create table undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz, event_payload text); insert into undispatched_events values (${row}); insert into undispatched_events values ('44444444-4444-4444-8444-444444444444', 'a', now(), '${secret}')`,
    "column event_payload of event 44444444-4444-4444-8444-444444444444 is no valid json",
    "bytea",
  ],
  [
    "a time without a zone that lies in the future",
    `create table undispatched_events (event_id uuid, aggregate_id text, created_at timestamp, event_payload json); insert into undispatched_events values (gen_random_uuid(), 'a', (now() at time zone 'Asia/Tokyo'), '{}')`,
    "column created_at has no time zone, and read as 'UTC' some rows lie in the future",
    "set timezone =",
  ],
];

describe.each(servers)("on $label, migrating refuses", ({ url }) => {
  let database: PlainDatabase;
  let client: pg.Client;
  let schema = "";
  let count = 0;
  beforeAll(async () => {
    database = await plainDatabase(url);
    client = await database.connect();
    await client.query("set timezone = 'UTC'");
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    schema = `case_${++count}`;
    await client.query(`create schema ${schema}; set search_path = ${schema}`);
  });

  it.each(cases)("%s", async (_what, setup, message, repair) => {
    await client.query(setup);
    const before = await describeSchema(client, schema);
    const kind = before.find((line) => / undispatched_events /.test(line)) ?? "";
    const readsRows = kind.startsWith("r ");
    const rowsBefore = readsRows ? (await client.query("select * from undispatched_events")).rows : [];
    const error = await refusal(client, { schema });
    expect(error.code).toBe("MIGRATION_FAILED");
    expect(error.message).toContain("undispatched_events");
    expect(error.message).toContain(message);
    expect(error.repair).toContain(repair);
    expect(`${error.message} ${error.repair}`).not.toContain(secret);
    expect(await describeSchema(client, schema)).toEqual(before);
    if (readsRows) expect((await client.query("select * from undispatched_events")).rows).toEqual(rowsBefore);
  });

  it("bytes that are no JSON, only when json is asked for", async () => {
    await client.query(
      `create table undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz, event_payload bytea);
         insert into undispatched_events values ('55555555-5555-4555-8555-555555555555', 'a', now(), '\\xff00')`,
    );
    const error = await refusal(client, { schema, payloadType: "jsonb" });
    expect(error.message).toContain("of event 55555555-5555-4555-8555-555555555555 is no valid jsonb");
    await migrate(client, { schema });
    expect((await client.query("select event_payload from undispatched_events")).rows).toEqual([
      { event_payload: Buffer.from("ff00", "hex") },
    ]);
  });
});
