/** What `enqueue` and its equals in plain SQL do to the table: order, defaults, bytes, schemas, errors. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { enqueue, fromPg, type NewEvent } from "../../src/index.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { libraries } from "./enqueue-libraries.ts";

describe("the table after enqueue", () => {
  let database: FreshDatabase;
  let client: pg.Client;

  const migrated = (payloadType: "json" | "jsonb" | "bytea" = "json", schema = "public") =>
    migrate(client, { schema, direction: "up", payloadType });

  /** One transaction around the work, committed. */
  async function committed<T>(work: () => Promise<T>): Promise<T> {
    await client.query("begin");
    const result = await work();
    await client.query("commit");
    return result;
  }

  beforeEach(async () => {
    database = await freshDatabase();
    client = new pg.Client(database.url);
    await client.connect();
  });
  afterEach(async () => {
    await client.end();
    await database.drop();
  });

  it("has the events in the order given, over several statements and ties of created_at", async () => {
    await migrated();
    const events = Array.from({ length: 2_500 }, (_, index) => ({
      aggregateId: `a${index % 7}`,
      payload: index,
    }));
    const ids = await committed(() => enqueue(fromPg(client), events));
    const { rows } = await client.query<{ event_id: string }>(
      "select event_id from undispatched_events order by created_at, seq",
    );
    expect(rows.map((row) => row.event_id)).toEqual(ids);
    // The position alone would decide wrongly if seq did not follow the list: it has to, on its own.
    const bySeq = await client.query<{ event_id: string }>(
      "select event_id from undispatched_events order by seq",
    );
    expect(bySeq.rows.map((row) => row.event_id)).toEqual(ids);
  });

  it("has created_at of the moment of the insert, not of the transaction's start", async () => {
    await migrated();
    await committed(async () => {
      await client.query("select 1");
      await enqueue(fromPg(client), { aggregateId: "a", payload: 1 });
      const { rows } = await client.query("select created_at > now() as is_later from undispatched_events");
      expect(rows).toEqual([{ is_later: true }]);
    });
  });

  it("is the same after a plain INSERT of the four columns and after outrider_enqueue", async () => {
    await migrated();
    const [ours, plain, called] = [randomUUID(), randomUUID(), randomUUID()];
    const payload = { a: [1, "é"] };
    await committed(async () => {
      await enqueue(fromPg(client), { eventId: ours, aggregateId: "order-1", payload });
      await client.query(
        `insert into undispatched_events (event_id, aggregate_id, created_at, event_payload)
         values ($1, 'order-1', clock_timestamp(), $2)`,
        [plain, JSON.stringify(payload)],
      );
      await client.query("select outrider_enqueue('order-1', $2::json, event_id => $1)", [
        called,
        JSON.stringify(payload),
      ]);
    });
    const { rows } = await client.query(
      `select event_id, seq, aggregate_id, event_payload::text, event_type, aggregate_type, topic, headers, shard
         from undispatched_events order by created_at, seq`,
    );
    expect(rows.map((row) => row.event_id)).toEqual([ours, plain, called]);
    expect(rows.map((row) => row.seq)).toEqual(["1", "2", "3"]);
    const alike = rows.map(({ event_id: _, seq: __, ...rest }) => rest);
    expect(alike[0]).toMatchObject({
      aggregate_id: "order-1",
      event_payload: JSON.stringify(payload),
      headers: null,
    });
    expect(alike[1]).toEqual(alike[0]);
    expect(alike[2]).toEqual(alike[0]);
  });

  it("is the same after outrider_enqueue with everything optional", async () => {
    await migrated();
    const event: NewEvent = {
      aggregateId: "order-1",
      payload: { a: 1 },
      eventType: "E",
      aggregateType: "A",
      topic: "t",
      headers: { h: "v" },
    };
    await committed(async () => {
      await enqueue(fromPg(client), event);
      await client.query("select outrider_enqueue('order-1', $1::json, 'E', 'A', 't', $2::jsonb)", [
        '{"a":1}',
        '{"h":"v"}',
      ]);
    });
    const { rows } = await client.query(
      `select aggregate_id, event_payload::text, event_type, aggregate_type, topic, headers, shard
         from undispatched_events order by seq`,
    );
    expect(rows).toHaveLength(2);
    expect(rows[1]).toEqual(rows[0]);
  });

  it("may have only the four columns of the pattern", async () => {
    await client.query(
      `create table undispatched_events (
         event_id uuid, aggregate_id text, created_at timestamptz default clock_timestamp(), event_payload json)`,
    );
    const [id] = await committed(() => enqueue(fromPg(client), { aggregateId: "a", payload: { n: 1 } }));
    const { rows } = await client.query(
      "select event_id, aggregate_id, event_payload from undispatched_events",
    );
    expect(rows).toEqual([{ event_id: id, aggregate_id: "a", event_payload: { n: 1 } }]);
  });

  it("has bytes as they were given, without being told that it holds bytes", async () => {
    await migrated("bytea");
    const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await committed(() =>
      enqueue(fromPg(client), [
        { aggregateId: "a", payload: everyByte },
        { aggregateId: "a", payload: everyByte.subarray(250) },
        { aggregateId: "a", payload: Buffer.alloc(0) },
        { aggregateId: "a", payload: { n: 1 } },
      ]),
    );
    const { rows } = await client.query<{ event_payload: Buffer }>(
      "select event_payload from undispatched_events order by seq",
    );
    expect(rows.map((row) => [...row.event_payload])).toEqual([
      [...everyByte],
      [250, 251, 252, 253, 254, 255],
      [],
      [...Buffer.from('{"n":1}')],
    ]);
  });

  it("holds JSON in a jsonb column as JSON, untold", async () => {
    await migrated("jsonb");
    await committed(() => enqueue(fromPg(client), { aggregateId: "a", payload: { n: 1 } }));
    const { rows } = await client.query(
      "select jsonb_typeof(event_payload) as kind from undispatched_events",
    );
    expect(rows).toEqual([{ kind: "object" }]);
  });

  it("takes what jsonb would refuse when it is json", async () => {
    await migrated("json");
    await committed(() => enqueue(fromPg(client), { aggregateId: "a", payload: "\0\ud800" }));
    const { rows } = await client.query("select event_payload::text as payload from undispatched_events");
    expect(rows).toEqual([{ payload: '"\\u0000\\ud800"' }]);
  });

  it.each(Object.entries(libraries))(
    "may be in any schema, and gets 1,001 full events at once, through %s",
    async (_, library) => {
      const schema = 'a$1 ?"b\\: c?? $$';
      await migrated("json", schema);
      const events = Array.from({ length: 1_001 }, (_, index) => ({
        aggregateId: `a${index}`,
        payload: { index },
        eventType: "E",
        aggregateType: "A",
        topic: "t",
        headers: { h: "v" },
      }));
      let ids: readonly string[] = [];
      await library(database.url, async (transaction) => {
        ids = await enqueue(transaction, events, { schema });
      });
      const { rows } = await client.query<{ event_id: string }>(
        `select event_id from "a$1 ?""b\\: c?? $$".undispatched_events order by created_at, seq`,
      );
      expect(rows.map((row) => row.event_id)).toEqual(ids);
    },
  );

  it("needs no right but to insert, whichever way the transaction is proved", async () => {
    await migrated();
    const role = `writer_${randomUUID().replaceAll("-", "")}`;
    await client.query(`create role ${role} login password 'writer'`);
    try {
      await client.query(`grant insert on undispatched_events to ${role}`);
      const url = new URL(database.url);
      url.username = role;
      url.password = "writer";
      for (const library of [libraries.pg, libraries["postgres.js"], libraries["Drizzle on node-postgres"]]) {
        await library?.(url.href, (transaction) =>
          enqueue(transaction, { aggregateId: "a", payload: 1, topic: "t" }),
        );
      }
      const { rows } = await client.query("select topic from undispatched_events");
      expect(rows).toEqual([{ topic: "t" }, { topic: "t" }, { topic: "t" }]);
    } finally {
      await client.query(`drop owned by ${role}`);
      await client.query(`drop role ${role}`);
    }
  });

  it("is untouched when an event is at fault, and the transaction stays usable", async () => {
    await migrated();
    await committed(async () => {
      const faulty = enqueue(fromPg(client), [
        { aggregateId: "a", payload: 1 },
        { aggregateId: "", payload: 1 },
      ]);
      await expect(faulty).rejects.toMatchObject({ code: "EVENT_INVALID" });
      await enqueue(fromPg(client), { aggregateId: "after", payload: 1 });
    });
    const { rows } = await client.query("select aggregate_id from undispatched_events");
    expect(rows).toEqual([{ aggregate_id: "after" }]);
  });

  it("refuses a second event with the same id, in the words of the library", async () => {
    await migrated();
    const event = { eventId: randomUUID(), aggregateId: "a", payload: 1 };
    await committed(() => enqueue(fromPg(client), event));
    await client.query("begin");
    await expect(enqueue(fromPg(client), event)).rejects.toMatchObject({ code: "23505" });
    await client.query("rollback");
  });
});
