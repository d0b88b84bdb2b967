/** What the modes of delivery change in a row and in the document, and the readers of what was logged. */
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { decidedRecords } from "../support/decided-records.ts";
import { boundsUnder, boundTextUnder, fairShares } from "./delivery.ts";
import { mergeChapter } from "./fault-docs.ts";
import { lossesOf } from "./losses.ts";
import type { RowResult } from "./row.ts";

const record = (offset: number, producerId: string) => ({
  offset: String(offset),
  key: Buffer.from("k"),
  batchContext: { producerId, inTransaction: true },
});

const marker = (offset: number, producerId: string, type: 0 | 1) => ({
  ...record(offset, producerId),
  key: Buffer.from([0, 0, 0, type]),
  isControlRecord: true,
});

describe("the records that are decided", () => {
  it("leave out aborted and open transactions, wherever they overlap, and go on behind them", () => {
    const log = [
      record(0, "open"),
      record(1, "aborted"),
      record(2, "committed"),
      record(3, "aborted too"),
      marker(4, "aborted too", 0),
      marker(5, "aborted", 0),
      marker(6, "committed", 1),
      record(7, "aborted"),
      marker(8, "aborted", 1),
    ];
    expect(decidedRecords(log).map(({ offset }) => offset)).toEqual(["2", "7"]);
  });
});

describe("kafkajs's own filter of aborted records", () => {
  it("lets one through where two transactions overlap: the reader of the suite must not use it", () => {
    const filter = createRequire(import.meta.url)("kafkajs/src/consumer/filterAbortedMessages") as (answer: {
      readonly messages: readonly { readonly offset: string }[];
      readonly abortedTransactions: readonly { readonly producerId: string; readonly firstOffset: string }[];
    }) => { readonly offset: string; readonly isControlRecord?: boolean }[];
    const log = [record(0, "first"), record(1, "second"), marker(2, "second", 0), marker(3, "first", 0)];
    // As brokers list them: in the order in which they were aborted.
    const abortedTransactions = [
      { producerId: "second", firstOffset: "1" },
      { producerId: "first", firstOffset: "0" },
    ];
    const shown = filter({ messages: log, abortedTransactions }).filter((one) => !one.isControlRecord);
    expect(shown.map(({ offset }) => offset)).toEqual(["0"]);
    expect(decidedRecords(log)).toEqual([]);
  });
});

describe("a row under another mode", () => {
  it("allows no duplicate but those it calls unavoidable", () => {
    const bounds = { duplicatesMax: 400, duplicatesMin: 1, unavoidableMax: 7 };
    expect(boundsUnder("at-least-once", bounds)).toBe(bounds);
    expect(boundsUnder("exactly-once", bounds)).toMatchObject({ duplicatesMax: 7, duplicatesMin: 0 });
    expect(boundsUnder("at-most-once", { duplicatesMax: 400 })).toMatchObject({ duplicatesMax: 0 });
  });

  it("says so", () => {
    const bound = "duplicates ≤ two batches a kill; taken over within TTL + 1 s";
    expect(boundTextUnder("exactly-once", bound)).toBe("taken over within TTL + 1 s; no duplicate");
    expect(boundTextUnder("exactly-once", "order exact, no late event, no duplicate")).toBe(
      "order exact, no late event; no duplicate",
    );
  });

  it("shares groups, not shards", () => {
    const of = (relays: number) => fairShares("exactly-once", relays);
    expect([1, 2, 3, 6].map((relays) => of(relays).max)).toEqual([64, 32, 32, 16]);
    expect([1, 2, 3, 6].map((relays) => of(relays).min)).toEqual([64, 32, 16, 0]);
    expect(fairShares("at-least-once", 3)).toEqual({ max: 22, min: 21 });
  });
});

const event = (eventId: string) => ({ eventId, aggregateId: "a", createdAt: "", seq: "1", payloadMd5: "" });
const there = (eventId: string) => ({ ...event(eventId), partition: 0, offset: 0 });
const relaySaying = (eventIds: readonly string[]) => {
  const lines = [{ level: "error", event: "batch-in-doubt", eventIds }];
  return { process: { lines } } as unknown as Parameters<typeof lossesOf>[2][number];
};

describe("what was lost", () => {
  it("must have been reported", () => {
    const audited = ["1", "2", "3"].map(event);
    const told = lossesOf(audited, [there("1"), there("2")], [relaySaying(["2", "3"])]);
    expect(told).toMatchObject({ missing: 1, reported: 2, arrived: 1, violations: [] });
    expect(lossesOf(audited, [there("1")], [relaySaying(["3"])]).violations).toHaveLength(1);
  });
});

describe("the document", () => {
  const row = (id: string, events: number) => ({ id, events }) as RowResult;

  it("keeps the rows and mutants that a run has not touched", () => {
    const mutants = [{ name: "m", caught: true, by: "" }];
    const first = mergeChapter(undefined, { rows: [row("F2", 1), row("F1", 1)], mutants }, "then", [
      "F1",
      "F2",
    ]);
    const second = mergeChapter(first, { rows: [row("F2", 5)], mutants: [] }, "now", ["F1", "F2"]);
    expect(second.rows.map(({ id, events, on }) => [id, events, on])).toEqual([
      ["F1", 1, "then"],
      ["F2", 5, "now"],
    ]);
    expect(second.mutants).toBe(mutants);
  });
});
