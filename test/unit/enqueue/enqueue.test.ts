import { describe, expect, it } from "vitest";
import { enqueue } from "../../../src/enqueue/enqueue.ts";
import { reservedHeaders } from "../../../src/enqueue/row.ts";
import type { NewEvent } from "../../../src/event/event.ts";
import { isMessage, toMessage } from "../../../src/event/message.ts";
import { recordedTransaction } from "./recorded-transaction.ts";

const id = "0193a0e2-0000-7000-8000-000000000001";
const columns = [
  "event_id",
  "aggregate_id",
  "event_payload",
  "event_type",
  "aggregate_type",
  "topic",
  "headers",
];

describe("the statement of enqueue", () => {
  it("casts every parameter from text and uses each placeholder once, in order", async () => {
    const transaction = recordedTransaction();
    const event: NewEvent = {
      eventId: id,
      aggregateId: "a",
      payload: { n: 1 },
      eventType: "E",
      aggregateType: "A",
      topic: "t",
      headers: { h: "v" },
    };
    expect(await enqueue(transaction, event)).toEqual([id]);
    expect(transaction.statements).toEqual([
      {
        sql: `insert into undispatched_events (${columns.join(", ")}) values ($1::text::uuid, $2::text, $3::text::json, $4::text, $5::text, $6::text, $7::text::json)`,
        texts: [id, "a", '{"n":1}', "E", "A", "t", '{"h":"v"}'],
      },
    ]);
  });

  it("names only the columns that some event uses", async () => {
    const transaction = recordedTransaction();
    await enqueue(transaction, [
      { eventId: id, aggregateId: "a", payload: 1 },
      { eventId: id.replace(/1$/, "2"), aggregateId: "b", payload: 2, topic: "t" },
    ]);
    expect(transaction.statements).toEqual([
      {
        sql: "insert into undispatched_events (event_id, aggregate_id, event_payload, topic) values ($1::text::uuid, $2::text, $3::text::json, $4::text), ($5::text::uuid, $6::text, $7::text::json, $8::text)",
        texts: [id, "a", "1", null, id.replace(/1$/, "2"), "b", "2", "t"],
      },
    ]);
  });

  it("writes nothing for an empty list", async () => {
    const transaction = recordedTransaction();
    expect(await enqueue(transaction, [])).toEqual([]);
    expect(transaction.statements).toEqual([]);
  });

  it("is one up to 1,000 events, and several in order beyond", async () => {
    const transaction = recordedTransaction();
    const events = Array.from({ length: 2_001 }, (_, index) => ({
      aggregateId: `a${index}`,
      payload: index,
    }));
    const ids = await enqueue(transaction, events);
    expect(transaction.statements.map(({ texts }) => texts.length)).toEqual([3_000, 3_000, 3]);
    const texts = transaction.statements.flatMap((statement) => statement.texts);
    expect(texts.filter((_, index) => index % 3 === 0)).toEqual(ids);
    expect(texts.filter((_, index) => index % 3 === 1)).toEqual(events.map((event) => event.aggregateId));
  });

  it("is cut earlier when the payloads are very large", async () => {
    const transaction = recordedTransaction();
    const payload = "x".repeat(7 * 1024 * 1024);
    await enqueue(
      transaction,
      ["a", "b", "c"].map((aggregateId) => ({ aggregateId, payload })),
    );
    expect(transaction.statements.map(({ texts }) => texts.length)).toEqual([6, 3]);
  });

  it("quotes the schema, and hides from `?` and `$1` replacements what looks like one", async () => {
    const transaction = recordedTransaction();
    await enqueue(transaction, { aggregateId: "a", payload: 1 }, { schema: 'we"ird; drop' });
    await enqueue(transaction, { aggregateId: "a", payload: 1 }, { schema: 'a$1?:b\\"' });
    const [plain, escaped] = transaction.statements.map(({ sql }) => sql);
    expect(plain).toContain('into "we""ird; drop".undispatched_events (');
    expect(escaped).toContain('into U&"a\\00241\\003f\\003ab\\005c""".undispatched_events (');
  });

  it("carries bytes as base64, and JSON beside bytes as its UTF-8 bytes", async () => {
    const transaction = recordedTransaction();
    const view = new Uint8Array(new Uint8Array([9, 0, 255, 9]).buffer, 1, 2);
    await enqueue(transaction, [
      { aggregateId: "a", payload: view },
      { aggregateId: "a", payload: { é: 1 } },
    ]);
    await enqueue(transaction, { aggregateId: "a", payload: "text" }, { payloadType: "bytea" });
    const [mixed, told] = transaction.statements;
    expect(mixed?.sql).toContain("decode($3::text, 'base64')");
    expect(mixed?.texts[2]).toBe("AP8=");
    expect(Buffer.from(mixed?.texts[5] ?? "", "base64").toString()).toBe('{"é":1}');
    expect(Buffer.from(told?.texts[2] ?? "", "base64").toString()).toBe('"text"');
  });

  it("gives back the id as PostgreSQL writes it", async () => {
    const upper = "0193A0E2-0000-7000-8000-00000000000F";
    const event = { eventId: upper, aggregateId: "a", payload: 1 };
    expect(await enqueue(recordedTransaction(), event)).toEqual([upper.toLowerCase()]);
  });

  it("changes nothing of the caller's, frozen or not", async () => {
    const event = Object.freeze({
      aggregateId: "a",
      payload: { list: [1] },
      headers: Object.freeze({ h: "v" }),
    });
    const before = structuredClone(event);
    await enqueue(recordedTransaction(), Object.freeze([event]));
    expect(event).toEqual(before);
    expect(Object.isFrozen(event.payload)).toBe(false);
  });
});

describe("the header names that an event may not use", () => {
  it("are those that the relay writes", () => {
    const message = toMessage(
      {
        eventId: id,
        aggregateId: "a",
        shard: 0,
        slot: 0,
        seq: "1",
        createdAt: "2026-01-01T00:00:00Z",
        eventType: "E",
        aggregateType: "A",
        topic: "t",
        headers: null,
        payload: "1",
        payloadBytes: 1,
        rowHint: "(0,1)",
      },
      { topicTemplate: "t", topicDefault: "t" },
    );
    expect(isMessage(message) && Object.keys(message.headers).toSorted()).toEqual(
      [...reservedHeaders].toSorted(),
    );
  });
});
