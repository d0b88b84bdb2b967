/** An application that already has an undispatched_events: nothing of it is lost, or nothing is changed. */
import { EventEmitter, once } from "node:events";
import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { migrate } from "../../src/outbox/migrator.ts";
import type { PayloadType } from "../../src/outbox/statements.ts";
import { describeSchema } from "../support/catalog.ts";
import { type PlainDatabase, plainDatabase } from "../support/plain-database.ts";
import { postgresServers } from "../support/postgres-servers.ts";

const servers = await postgresServers(inject("postgresUrl"));
afterAll(() => Promise.all(servers.map((server) => server.stop())));

const aggregateTypes = ["text", "varchar(64)", "uuid"];
const timeTypes = ["timestamptz", "timestamptz(3) default now()", "timestamp default now()", "timestamp(3)"];
const payloadTypes = ["json", "jsonb", "bytea", "text", "varchar"];
const keys = [
  "event_id uuid primary key default gen_random_uuid()",
  "event_id uuid not null",
  "event_id uuid unique",
  "event_id uuid",
];

/** Every pair of neighbours occurs; all the combinations would be 240. */
const shapes = aggregateTypes.flatMap((aggregate, a) =>
  timeTypes.flatMap((time, t) =>
    payloadTypes.map((payload, p) => ({
      aggregate,
      time,
      payload,
      key: keys[(a + t + p) % keys.length] as string,
    })),
  ),
);

const rowCount = 20;
const aggregateOf = (n: number) => `00000000-0000-4000-8000-00000000000${n % 4}`;
const payloadOf = (n: number) => `{"b": ${n}, "a": [null,  "ü"]}`;

/** Rows with times that run against the order of their insertion; every other pair ties. */
async function fill(client: pg.Client, table: string, payload: string): Promise<void> {
  const value = payload === "bytea" ? "convert_to($4, 'UTF8')" : `$4::text::${payload}`;
  for (let n = 0; n < rowCount; n++) {
    await client.query(
      `insert into ${table} (event_id, aggregate_id, created_at, event_payload)
       values ($1::text::uuid, $2, $3, ${value})`,
      [
        `11111111-0000-4000-8000-0000000000${String(n).padStart(2, "0")}`,
        aggregateOf(n),
        `2024-03-04 05:06:${String(59 - Math.floor(n / 2)).padStart(2, "0")}.123`,
        payloadOf(n),
      ],
    );
  }
}

const expectedOrder = Array.from({ length: rowCount }, (_, n) => n)
  .sort((x, y) => Math.floor(y / 2) - Math.floor(x / 2) || x - y)
  .map((n) => String(n).padStart(2, "0"));

interface Adopted {
  readonly id: string;
  readonly aggregate: string;
  readonly time: Date;
  readonly payload: string;
  readonly isSharded: boolean;
}

async function readAdopted(client: pg.Client, table: string): Promise<Adopted[]> {
  const { rows } = await client.query<Adopted>(
    `select right(event_id::text, 2) as id, aggregate_id as aggregate, created_at as time,
            event_payload::text as payload,
            shard = hashtext(aggregate_id) & 63 as "isSharded"
       from ${table} order by created_at, seq`,
  );
  return rows;
}

describe.each(servers)("on $label", ({ url }) => {
  let database: PlainDatabase;
  let client: pg.Client;
  let home = "";
  let count = 0;
  beforeAll(async () => {
    database = await plainDatabase(url);
    client = await database.connect();
    await client.query("set timezone = 'UTC'");
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    home = `home_${++count}`;
    await client.query(`create schema ${home}; set search_path = ${home}`);
  });

  it(`adopts ${shapes.length} shapes of the four columns, and makes the same table of each as a fresh start`, async () => {
    const fresh = new Map<PayloadType, string[]>();
    for (const payloadType of ["json", "jsonb", "bytea"] as const) {
      await migrate(client, { schema: `fresh_${payloadType}`, payloadType });
      fresh.set(payloadType, await describeSchema(client, `fresh_${payloadType}`));
    }
    for (const [index, { aggregate, time, payload, key }] of shapes.entries()) {
      const shape = `${key}, aggregate_id ${aggregate}, created_at ${time}, event_payload ${payload}`;
      const schema = `shape_${index}`;
      await client.query(`create schema ${schema}; create table ${schema}.undispatched_events (${shape})`);
      await fill(client, `${schema}.undispatched_events`, payload);
      await migrate(client, { schema });

      const rows = await readAdopted(client, `${schema}.undispatched_events`);
      expect(
        rows.map(({ id }) => id),
        shape,
      ).toEqual(expectedOrder);
      const type = payload === "jsonb" ? "jsonb" : payload === "bytea" ? "bytea" : "json";
      for (const row of rows) {
        const n = Number(row.id);
        expect(row.aggregate, shape).toBe(aggregateOf(n));
        expect(row.time.toISOString(), shape).toBe(`2024-03-04T05:06:${59 - Math.floor(n / 2)}.123Z`);
        expect(row.isSharded, shape).toBe(true);
        const text = type === "bytea" ? Buffer.from(row.payload.slice(2), "hex").toString() : row.payload;
        if (type === "jsonb") expect(JSON.parse(text), shape).toEqual(JSON.parse(payloadOf(n)));
        else expect(text, shape).toBe(payloadOf(n));
      }
      const made = (await describeSchema(client, schema)).map((line) =>
        line.replaceAll(schema, `fresh_${type}`),
      );
      // A unique index on event_id serves as well as a primary key, and is not doubled.
      const isKey = (line: string) => /undispatched_events_(pkey|event_id_key)/.test(line);
      expect(
        made.filter((line) => !isKey(line)),
        shape,
      ).toEqual(fresh.get(type)?.filter((line) => !isKey(line)));
      expect(made.filter((line) => isKey(line) && line.startsWith("index")).length, shape).toBe(1);
    }
  });

  it("goes on numbering after the adopted rows", async () => {
    await client.query(
      "create table undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz, event_payload json)",
    );
    await fill(client, "undispatched_events", "json");
    await migrate(client, { schema: home });
    await client.query("insert into undispatched_events (aggregate_id, event_payload) values ('new', '{}')");
    const { rows } = await client.query(
      "select seq, aggregate_id from undispatched_events order by created_at desc, seq desc limit 1",
    );
    expect(rows).toEqual([{ seq: String(rowCount + 1), aggregate_id: "new" }]);
  });

  it.each([
    ["json", "bytea"],
    ["jsonb", "json"],
    ["bytea", "json"],
    ["bytea", "jsonb"],
    ["text", "bytea"],
    ["text", "jsonb"],
  ] as const)("turns payloads from %s into %s when asked", async (from, to) => {
    await client.query(
      `create table undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz, event_payload ${from})`,
    );
    await fill(client, "undispatched_events", from);
    await migrate(client, { schema: home, payloadType: to });
    const { rows } = await client.query<{ payload: string }>(
      `select ${to === "bytea" ? "convert_from(event_payload, 'UTF8')" : "event_payload::text"} as payload
         from undispatched_events order by event_id`,
    );
    expect(rows.map(({ payload }) => JSON.parse(payload))).toEqual(
      Array.from({ length: rowCount }, (_, n) => JSON.parse(payloadOf(n))),
    );
    if (to !== "jsonb" && from !== "jsonb")
      expect(rows.map(({ payload }) => payload)).toEqual(rows.map((_, n) => payloadOf(n)));
    await client.query(`select outrider_enqueue('a', ${to === "bytea" ? "'\\x7b7d'" : "'{}'"})`);
  });

  it("keeps what the application has besides: columns, indexes, its own default of the id, another primary key", async () => {
    await client.query(
      `create table undispatched_events (
         id bigint generated always as identity primary key, event_id uuid not null default '22222222-2222-4222-8222-222222222222',
         aggregate_id text, created_at timestamptz default now(), event_payload jsonb default '{}',
         topic varchar(100), headers jsonb, tenant text not null default 'acme');
       create index mine on undispatched_events (tenant);
       insert into undispatched_events (aggregate_id, topic) values ('a', 'orders')`,
    );
    await migrate(client, { schema: home });
    const { rows } = await client.query(
      "select id, event_id, aggregate_id, event_payload, topic, tenant from undispatched_events",
    );
    expect(rows).toEqual([
      {
        id: "1",
        event_id: "22222222-2222-4222-8222-222222222222",
        aggregate_id: "a",
        event_payload: {},
        topic: "orders",
        tenant: "acme",
      },
    ]);
    const made = await describeSchema(client, home);
    expect(made).toContain("constraint undispatched_events_pkey PRIMARY KEY (id)");
    expect(made).toContain("constraint undispatched_events_event_id_key UNIQUE (event_id)");
    expect(made.some((line) => line.includes("INDEX mine"))).toBe(true);
  });

  it("goes on where rows are written while it waits, and loses none of them", async () => {
    await client.query(
      "create table undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz default now(), event_payload json)",
    );
    const stop = new AbortController();
    const connections = await Promise.all(Array.from({ length: 4 }, () => database.connect()));
    const begun = new EventEmitter();
    const allBegun = Promise.all(connections.map((_, writer) => once(begun, `${writer}`)));
    const writers = connections.map(async (connection, writer) => {
      let written = 0;
      while (!stop.signal.aborted) {
        await connection.query(
          `insert into ${home}.undispatched_events (event_id, aggregate_id, event_payload) values (gen_random_uuid(), $1, '{}')`,
          [`w${writer}`],
        );
        written++;
        begun.emit(`${writer}`);
      }
      return written;
    });
    await allBegun;
    await migrate(client, { schema: home, lockTimeoutMs: 20_000 });
    stop.abort();
    const written = (await Promise.all(writers)).reduce((sum, count) => sum + count, 0);
    const { rows } = await client.query<{ count: string; numbers: string }>(
      "select count(*), count(distinct seq) as numbers from undispatched_events",
    );
    expect(Number(rows[0]?.count)).toBe(written);
    expect(Number(rows[0]?.numbers)).toBe(written);
  });

  it("adopts a table larger than a synchronized scan would read from its beginning, in order", async () => {
    await client.query(
      `create table undispatched_events (event_id uuid, aggregate_id text, created_at timestamptz default now(), event_payload json);
       insert into undispatched_events (event_id, aggregate_id, event_payload)
       select md5(n::text)::uuid, 'a', json_build_object('n', n, 'filler', repeat('x', 1800)) from generate_series(1, 20000) n`,
    );
    // A scan that stops half-way leaves its place behind, and the next one begins there.
    await client.query(
      "begin; declare halfway cursor for select event_payload from undispatched_events; move 10000 in halfway; commit",
    );
    await migrate(client, { schema: home });
    const { rows } = await client.query<{ numbers: string }>(
      `select count(*) as numbers from undispatched_events where seq <> (event_payload->>'n')::bigint`,
    );
    expect(rows[0]?.numbers).toBe("0");
  });
});
