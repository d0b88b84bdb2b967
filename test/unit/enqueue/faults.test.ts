import { describe, expect, it } from "vitest";
import { type EnqueueOptions, enqueue } from "../../../src/enqueue/enqueue.ts";
import type { NewEvent } from "../../../src/event/event.ts";
import { OutriderError } from "../../../src/foundation/errors.ts";
import { recordedTransaction } from "./recorded-transaction.ts";

/** The message of EVENT_INVALID; fails when anything was written, or nothing was wrong. */
async function faultsOf(events: unknown, options?: EnqueueOptions): Promise<string> {
  const transaction = recordedTransaction();
  const outcome = await enqueue(transaction, events as NewEvent, options).catch((thrown: unknown) => thrown);
  expect(transaction.statements).toEqual([]);
  if (!(outcome instanceof OutriderError)) throw new Error(`accepted: ${String(outcome)}`);
  expect(outcome.code).toBe("EVENT_INVALID");
  return outcome.message;
}

const accepted = async (event: Partial<NewEvent>, options?: EnqueueOptions) => {
  const transaction = recordedTransaction();
  await enqueue(transaction, { aggregateId: "a", payload: 1, ...event }, options);
  return transaction.statements[0]?.texts ?? [];
};

describe("faults", () => {
  it("are all named at once, with index and field, before anything is written", async () => {
    const message = await faultsOf([
      { aggregateId: "a", payload: 1 },
      { aggregateId: "", payload: undefined, eventId: "no-uuid" },
      { aggregateId: "a", payload: 1, topic: "no topic", headers: { event_id: "x", n: 1 } },
      null,
    ]);
    expect(message).toMatch(/^7 faults, nothing was written: /);
    for (const place of [
      "events[1].eventId",
      "events[1].aggregateId",
      "events[1].payload",
      "events[2].topic",
      'events[2].headers["event_id"]',
      'events[2].headers["n"]',
      "events[3] is no object",
    ]) {
      expect(message).toContain(place);
    }
    expect(message).not.toContain("events[0]");
  });

  it("of a single event carry no index", async () => {
    expect(await faultsOf({ payload: 1 })).toBe(
      "1 fault, nothing was written: event.aggregateId is missing: give the id of the aggregate's root as a string",
    );
  });

  it("beyond a hundred are counted", async () => {
    const message = await faultsOf(Array.from({ length: 250 }, () => ({ aggregateId: "", payload: 1 })));
    expect(message).toMatch(/^250 faults/);
    expect(message).toMatch(/events\[99\].*; and 150 more$/);
  });

  it("find the holes of a list and ids given twice", async () => {
    const sparse: unknown[] = [];
    sparse[1] = { aggregateId: "a", payload: 1 };
    expect(await faultsOf(sparse)).toContain("events[0] is no object");
    const eventId = "0193a0e2-0000-7000-8000-00000000000a";
    const twins = [eventId, eventId.toUpperCase()].map((given) => ({
      eventId: given,
      aggregateId: "a",
      payload: 1,
    }));
    expect(await faultsOf(twins)).toContain("events[1].eventId is the same as that of events[0]");
  });

  it("never repeat a payload or a header's value", async () => {
    const secret = "4111-1111-1111-1111";
    const cycle: Record<string, unknown> = { [secret]: 1n, card: secret };
    cycle.self = cycle;
    const throwing = {
      toJSON: () => {
        throw new Error(secret);
      },
    };
    const message = await faultsOf([
      { aggregateId: "a", payload: cycle },
      { aggregateId: "a", payload: { deep: { [secret]: Number.NaN } } },
      { aggregateId: `${secret}\0`, payload: throwing, headers: { h: `${secret}\0` }, topic: `${secret} ` },
    ]);
    expect(message).not.toContain("4111");
  });

  it.each([
    ["eventId", [1, "", "0193a0e2-0000-7000-8000-0000000000", "{0193a0e2-0000-7000-8000-000000000001}"]],
    ["aggregateId", [1, "", null, undefined, "\0", "\ud800", "x".repeat(1025), "😀".repeat(1025), ["a"]]],
    ["eventType", [1, "", "a\0", "\udc00a", {}]],
    ["aggregateType", [1, "", "a\0", "\udc00a", {}]],
    ["topic", [1, "", ".", "..", "a b", "é", "x".repeat(250)]],
    [
      "headers",
      ["h", 1, [], new Map([["a", "b"]]), { a: 1 }, { a: null }, { "": "x" }, { a: "\0" }, { "\0": "a" }],
    ],
    ["headers", [{ a: "\ud800" }, { created_at: "x" }, { event_type: "x" }, { aggregate_type: "x" }]],
  ])("in %s are refused", async (field, values) => {
    for (const value of values) {
      expect(await faultsOf({ aggregateId: "a", payload: 1, [field]: value })).toContain(`event.${field}`);
    }
  });

  it("are not seen in what is fine", async () => {
    await accepted({ aggregateId: "😀".repeat(1024) });
    await accepted({ aggregateId: "' ; drop table \\ $1 ? :x" });
    await accepted({ topic: "x".repeat(249), eventType: " ", headers: { h: "" } });
    expect((await accepted({ headers: {} })).length).toBe(3);
    // What comes from a database or from JavaScript often says null for absent.
    expect(
      (await accepted({ topic: null, headers: null, eventId: null } as unknown as NewEvent)).length,
    ).toBe(3);
  });

  it("of the options are refused, too", async () => {
    const event = { aggregateId: "a", payload: 1 };
    expect(await faultsOf(event, { schema: "" })).toContain("options.schema");
    expect(await faultsOf(event, { schema: "a\0" })).toContain("options.schema");
    expect(await faultsOf(event, { payloadType: "text" as "json" })).toContain("options.payloadType");
  });
});

describe("a payload", () => {
  it.each([
    ["undefined", undefined],
    ["undefined", [1, undefined]],
    ["a function", () => 1],
    ["a function", { on: () => 1 }],
    ["a symbol", [Symbol("s")]],
    ["a BigInt", 1n],
    ["a BigInt", { deep: [{ n: 1n }] }],
    ["not finite", { amount: Number.NaN }],
    ["not finite", Number.POSITIVE_INFINITY],
    ["a Map or Set", { tags: new Set(["a"]) }],
    ["a Map or Set", new Map()],
    ["a Promise", { late: Promise.resolve(1) }],
    ["an Error", { cause: new RangeError("no") }],
    ["an invalid Date", { at: new Date(Number.NaN) }],
  ])("that JSON would lose a part of is refused: %s (%#)", async (problem, payload) => {
    const message = await faultsOf({ aggregateId: "a", payload });
    expect(message).toContain("event.payload");
    expect(message).toContain(problem);
  });

  it("that contains itself is refused", async () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(await faultsOf({ aggregateId: "a", payload: cycle })).toContain(
      "event.payload cannot be turned into JSON",
    );
  });

  it("names the property at fault, unless the key may be data", async () => {
    expect(await faultsOf({ aggregateId: "a", payload: { order: { total: 1n } } })).toContain('(at "total")');
    expect(await faultsOf({ aggregateId: "a", payload: { "jo@example.org": 1n } })).not.toContain("jo@");
  });

  it.each([
    [null, "null"],
    ["", '""'],
    [{ a: undefined, b: null }, '{"b":null}'],
    [{ at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    [{ money: { toJSON: () => "1.50" } }, '{"money":"1.50"}'],
    ["\u0000\ud800", '"\\u0000\\ud800"'],
  ])("that JSON can express is stored as JSON.stringify writes it (%#)", async (payload, text) => {
    expect((await accepted({ payload }))[2]).toBe(text);
  });

  it("for jsonb has no NUL and no half surrogate pair, but may have the text of an escape", async () => {
    const jsonb = { payloadType: "jsonb" } as const;
    for (const payload of ["\0", { "\0": 1 }, "\ud83d", "\ude00", "\\\0"]) {
      expect(await faultsOf({ aggregateId: "a", payload }, jsonb)).toContain(
        "event.payload has the character U+0000",
      );
    }
    expect((await accepted({ payload: "\\u0000 \\ud800 \\\\u0000 😀 \n \u0001" }, jsonb)).length).toBe(3);
  });

  it("of bytes is refused where the table is said to hold JSON", async () => {
    for (const payloadType of ["json", "jsonb"] as const) {
      expect(await faultsOf({ aggregateId: "a", payload: Buffer.of(1) }, { payloadType })).toContain(
        "is bytes",
      );
    }
  });
});
