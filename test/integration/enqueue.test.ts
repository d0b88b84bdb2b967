/** What each library writes through `enqueue` is the same row, with the transaction's fate. */
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { enqueue, type NewEvent } from "../../src/index.ts";
import { type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";
import { type Library, libraries } from "./enqueue-libraries.ts";

const payload = {
  nested: { list: [1, { deep: null }], 'key with "quotes"': "it's" },
  unicode: "Grüße 😀 \u2028",
  hostile: "'; drop table undispatched_events; -- $1 $$ ? ?? \\? :name \\ \\' %s {0} ${x}",
  number: 0.1,
  empty: "",
};

const full: NewEvent = {
  eventId: "0193a0e2-0000-7000-8000-000000000001",
  aggregateId: "order ' ? $1 \\ 😀",
  payload,
  eventType: "OrderPlaced",
  aggregateType: "order",
  topic: "orders.v1",
  headers: { "x-tenant": "a ' ? $1 \\", empty: "", unicode: "é" },
};
const bare: NewEvent = {
  eventId: "0193a0e2-0000-7000-8000-000000000002",
  aggregateId: "order-2",
  payload: "just a string",
};

interface Row {
  readonly event_id: string;
  readonly payload: string;
  readonly kind: string | null;
  readonly headers: unknown;
}

/** In the table's order. `kind` is what a double encoding would turn from object into string. */
async function rowsOf(client: pg.Client): Promise<Row[]> {
  const { rows } = await client.query<Row>(
    `select event_id, aggregate_id, event_payload::text as payload, event_type, aggregate_type, topic,
            headers, jsonb_typeof(headers) as header_kind,
            case when pg_typeof(event_payload) <> 'bytea'::regtype
                 then json_typeof(event_payload::text::json) end as kind
       from undispatched_events order by created_at, seq`,
  );
  return rows;
}

const fullRow = {
  event_id: full.eventId,
  aggregate_id: full.aggregateId,
  payload: JSON.stringify(payload),
  event_type: "OrderPlaced",
  aggregate_type: "order",
  topic: "orders.v1",
  headers: full.headers,
  header_kind: "object",
  kind: "object",
};
const bareRow = {
  event_id: bare.eventId,
  aggregate_id: "order-2",
  payload: '"just a string"',
  event_type: null,
  aggregate_type: null,
  topic: null,
  headers: null,
  header_kind: null,
  kind: "string",
};

const each = Object.entries(libraries);

describe.each(["json", "jsonb", "bytea"] as const)("enqueue into a table of %s", (payloadType) => {
  let database: MigratedDatabase;
  let client: pg.Client;

  beforeAll(async () => {
    database = await migratedDatabase({ payloadType });
    client = new pg.Client(database.url);
    await client.connect();
    await client.query("create table orders (id text)");
  });
  beforeEach(() => client.query("truncate undispatched_events, orders"));
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  const write = (library: Library, events: readonly NewEvent[], after?: () => void) =>
    library(database.url, async (transaction) => {
      await transaction.execute("insert into orders values ($1::text)", ["order-2"]);
      const ids = await enqueue(transaction, events, { payloadType });
      expect(ids).toEqual(events.map((event) => event.eventId));
      // Seen from another connection, nothing is there before the commit.
      expect(await rowsOf(client)).toEqual([]);
      after?.();
    });

  it.each(each)("commits the same rows through %s", async (_, library) => {
    await write(library, [full, bare]);
    const rows = await rowsOf(client);
    if (payloadType === "bytea") {
      const hex = (text: string) => `\\x${Buffer.from(text).toString("hex")}`;
      const inBytes = (row: typeof bareRow | typeof fullRow) => ({
        ...row,
        payload: hex(row.payload),
        kind: null,
      });
      expect(rows).toEqual([inBytes(fullRow), inBytes(bareRow)]);
    } else if (payloadType === "jsonb") {
      const parsed = rows.map((row) => ({ ...row, payload: JSON.parse(row.payload) }));
      expect(parsed).toEqual([
        { ...fullRow, payload },
        { ...bareRow, payload: bare.payload },
      ]);
    } else {
      expect(rows).toEqual([fullRow, bareRow]);
    }
    expect((await client.query("select id from orders")).rows).toEqual([{ id: "order-2" }]);
  });

  it.each(each)("leaves nothing behind when %s rolls back", async (_, library) => {
    const rolledBack = write(library, [full, bare], () => {
      throw new Error("the business says no");
    });
    await expect(rolledBack).rejects.toThrow("the business says no");
    expect(await rowsOf(client)).toEqual([]);
    expect((await client.query("select id from orders")).rows).toEqual([]);
  });
});
