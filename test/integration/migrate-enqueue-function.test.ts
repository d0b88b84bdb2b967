/** The enqueue function: the door for applications that only speak SQL. */
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { migrate } from "../../src/outbox/migrator.ts";
import { type PlainDatabase, plainDatabase } from "../support/plain-database.ts";
import { postgresServers } from "../support/postgres-servers.ts";

const servers = await postgresServers(inject("postgresUrl"));
afterAll(() => Promise.all(servers.map((server) => server.stop())));

describe.each(servers)("outrider_enqueue on $label", ({ url }) => {
  let database: PlainDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await plainDatabase(url);
    client = await database.connect();
    for (const payloadType of ["json", "jsonb", "bytea"] as const) {
      await migrate(client, { schema: `my ${payloadType}`, payloadType });
    }
  });
  afterAll(() => database.drop());

  const enqueue = async (call: string, values: unknown[] = []): Promise<string> => {
    const { rows } = await client.query<{ id: string }>(
      `select "my json".outrider_enqueue(${call}) as id`,
      values,
    );
    return rows[0]?.id ?? "";
  };
  const read = async (id: string) =>
    (
      await client.query(
        `select aggregate_id, event_payload::text as payload, event_type, aggregate_type, topic, headers
           from "my json".undispatched_events where event_id = $1`,
        [id],
      )
    ).rows;

  it("writes the row, the payload byte for byte, and returns its id", async () => {
    const id = await enqueue("'order-17', $1, 'OrderPlaced', 'order', 'orders.v1', $2", [
      '{"b": 1,  "a": "ü"}',
      { source: "shop" },
    ]);
    expect(await read(id)).toEqual([
      {
        aggregate_id: "order-17",
        payload: '{"b": 1,  "a": "ü"}',
        event_type: "OrderPlaced",
        aggregate_type: "order",
        topic: "orders.v1",
        headers: { source: "shop" },
      },
    ]);
  });

  it("takes names, leaves out what is optional, and takes an id that is given", async () => {
    const given = "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee";
    expect(await enqueue(`payload => '1', aggregate_id => 'a', event_id => '${given}'`)).toBe(given);
    expect(await read(given)).toEqual([
      { aggregate_id: "a", payload: "1", event_type: null, aggregate_type: null, topic: null, headers: null },
    ]);
    const none = await enqueue("'a', 'null', headers => '{}'");
    expect((await read(none))[0]).toMatchObject({ payload: "null", headers: null });
  });

  it("makes version 7 ids that carry the time", async () => {
    const { rows } = await client.query<{ id: string; before: string; after: string }>(
      `with stamp as materialized (select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as before)
       select "my json".outrider_enqueue('a', '{}') as id, before,
              floor(extract(epoch from clock_timestamp()) * 1000)::bigint as after
         from stamp, generate_series(1, 200)`,
    );
    expect(new Set(rows.map(({ id }) => id)).size).toBe(200);
    for (const { id, before, after } of rows) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      const ms = Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16);
      expect(ms).toBeGreaterThanOrEqual(Number(before) - 1);
      expect(ms).toBeLessThanOrEqual(Number(after) + 1);
    }
  });

  it.each(["json", "jsonb", "bytea"] as const)("takes a payload of the table's type: %s", async (type) => {
    const value = type === "bytea" ? Buffer.from([0, 255]) : '{"a": 1}';
    const { rows } = await client.query<{ id: string }>(
      `select "my ${type}".outrider_enqueue('a', $1) as id`,
      [value],
    );
    const stored = await client.query(
      `select event_payload from "my ${type}".undispatched_events where event_id = $1`,
      [rows[0]?.id],
    );
    expect(stored.rows).toEqual([{ event_payload: type === "bytea" ? value : { a: 1 } }]);
  });

  it("finds its own table from any session, also beside a temporary one of the same name", async () => {
    await client.query("create temp table undispatched_events (trap int)");
    await client.query("begin; set local search_path = pg_temp, pg_catalog");
    const id = await enqueue("'far', '{}'");
    await client.query("commit; drop table pg_temp.undispatched_events");
    expect((await read(id)).length).toBe(1);
  });

  it("belongs to the transaction of its caller", async () => {
    await client.query("begin");
    const id = await enqueue("'a', '{}'");
    await client.query("rollback");
    expect(await read(id)).toEqual([]);
  });

  it("needs the right to insert, and no other", async () => {
    const admin = await database.connect(database.adminUrl);
    const writer = `${database.role}_writer`;
    await admin.query(
      `create role ${writer} login password 'plain'; grant usage on schema "my json" to ${writer}`,
    );
    const writerUrl = new URL(database.url);
    writerUrl.username = writer;
    try {
      const connection = await database.connect(writerUrl.href);
      const call = `select "my json".outrider_enqueue('a', '{}')`;
      await expect(connection.query(call)).rejects.toMatchObject({ code: "42501" });
      await admin.query(`grant insert on "my json".undispatched_events to ${writer}`);
      expect((await connection.query(call)).rowCount).toBe(1);
      await connection.end();
    } finally {
      await admin.query(`drop owned by ${writer}; drop role ${writer}`);
    }
  });

  it.each([
    ["null, '{}'", "aggregate_id is empty"],
    ["'', '{}'", "aggregate_id is empty"],
    ["repeat('ü', 1025), '{}'", "aggregate_id has 1025 characters: at most 1024"],
    ["'a', null", "payload is null"],
    ["'a', '{}', event_type => ''", "event_type is empty"],
    ["'a', '{}', aggregate_type => ''", "aggregate_type is empty"],
    ["'a', '{}', topic => ''", "topic is no topic name"],
    ["'a', '{}', topic => '..'", "topic is no topic name"],
    ["'a', '{}', topic => 'a b'", "topic is no topic name"],
    ["'a', '{}', topic => E'a\\n'", "topic is no topic name"],
    ["'a', '{}', topic => 'é'", "topic is no topic name"],
    ["'a', '{}', topic => repeat('x', 250)", "topic is no topic name"],
    ["'a', '{}', headers => '[]'", "headers must be a JSON object of strings"],
    ["'a', '{}', headers => '\"x\"'", "headers must be a JSON object of strings"],
    ["'a', '{}', headers => '{\"n\": 1}'", "header n is no string"],
    ["'a', '{}', headers => '{\"n\": null}'", "header n is no string"],
    ["'a', '{}', headers => '{\"\": \"x\"}'", "a header has an empty name"],
    ["'a', '{}', headers => '{\"event_id\": \"x\"}'", "header event_id is reserved"],
  ])("refuses outrider_enqueue(%s) with 22023", async (call, message) => {
    await expect(enqueue(call)).rejects.toMatchObject({
      code: "22023",
      message: expect.stringContaining(message),
    });
  });

  it("takes what lies just inside the bounds", async () => {
    await enqueue("repeat('ü', 1024), '{}', topic => repeat('x', 249)");
    await enqueue("'a', '{}', topic => '...'");
    await enqueue("'a', '{}', headers => 'null'");
  });
});
