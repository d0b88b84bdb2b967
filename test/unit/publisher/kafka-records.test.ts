import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { visibleRecords } from "../../../src/publisher/kafka-records.ts";
import type { FetchedPartition, FetchedRecord } from "../../../src/publisher/kafkajs-cluster.ts";

function record(offset: number, producerId: string, more: Partial<FetchedRecord> = {}): FetchedRecord {
  return {
    offset: String(offset),
    key: Buffer.from("a"),
    headers: { event_id: Buffer.from(`e-${offset}`), created_at: Buffer.from("2026-01-01T00:00:00Z") },
    isControlRecord: false,
    batchContext: { producerId, inTransaction: true },
    ...more,
  };
}

const abort = (offset: number, producerId: string) =>
  record(offset, producerId, { isControlRecord: true, key: Buffer.from([0, 0, 0, 0]), headers: {} });

/** Fetched from offset 10, inside of two transactions that will both be aborted. */
const piece: FetchedPartition = {
  highWatermark: "20",
  lastStableOffset: "20",
  abortedTransactions: [
    { producerId: "2", firstOffset: "5" },
    { producerId: "1", firstOffset: "3" },
    { producerId: "1", firstOffset: "16" },
  ],
  messages: [
    record(10, "2"),
    record(11, "1"),
    record(12, "3"),
    abort(13, "1"),
    record(14, "1"),
    abort(15, "2"),
    record(16, "1"),
    record(17, "2"),
    record(18, "9", { batchContext: { producerId: "1", inTransaction: false } }),
  ],
};

const offsetsOf = (records: readonly { readonly offset: number }[]) => records.map(({ offset }) => offset);

describe("the records that may be seen", () => {
  it("leaves out what was aborted, also in transactions that began before the piece", () => {
    expect(offsetsOf(visibleRecords(piece, "read_committed"))).toEqual([12, 14, 17, 18]);
    expect(offsetsOf(visibleRecords(piece, "read_uncommitted"))).toEqual([10, 11, 12, 14, 16, 17, 18]);
  });

  it("needs a filter of its own: that of kafkajs shows a record that was aborted", () => {
    const require = createRequire(import.meta.url);
    const filter = require("kafkajs/src/consumer/filterAbortedMessages") as (
      piece: FetchedPartition,
    ) => FetchedRecord[];
    const sorted = [...(piece.abortedTransactions ?? [])].sort(
      (a, b) => Number(a.firstOffset) - Number(b.firstOffset),
    );
    const shown = filter({ ...piece, abortedTransactions: sorted }).filter(
      ({ isControlRecord }) => !isControlRecord,
    );
    expect(shown.map(({ offset }) => Number(offset))).not.toEqual([12, 14, 17, 18]);
  });

  it("takes the last value of a header that was given twice, and null for one that was not", () => {
    const headers = { event_id: [Buffer.from("first"), Buffer.from("last")] };
    expect(visibleRecords({ ...piece, messages: [record(12, "3", { headers })] }, "read_committed")).toEqual([
      { offset: 12, key: "a", eventId: "last", createdAt: null },
    ]);
  });
});
