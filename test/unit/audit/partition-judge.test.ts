/** The judge of a partition, shown every kind of wrong: one that has never objected proves nothing. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PartitionJudge } from "../../../src/audit/partition-judge.ts";
import { mergePartitions } from "../../../src/audit/topic-findings.ts";
import type { TopicRecord } from "../../../src/publisher/topic-reader.ts";

/** `n` stands for the n-th event of aggregate "a": its id, and its created_at in microseconds. */
const event = (n: number, offset: number, key = "a"): TopicRecord => ({
  offset,
  key,
  eventId: `${key}-${n}`,
  createdAt: `2026-01-01T00:00:00.${String(n).padStart(6, "0")}+00:00`,
});

interface Reading {
  readonly from?: number;
  readonly judgedFrom?: number;
  readonly isWhole?: boolean;
  readonly partition?: number;
}

function judged(
  records: readonly TopicRecord[],
  { from = 0, judgedFrom = from, isWhole = from === 0, partition = 0 }: Reading = {},
) {
  const judge = new PartitionJudge({ topic: "t", partition, judgedFrom, isWhole, homeOf: () => 0 });
  for (const record of records) if (record.offset >= from) judge.take(record);
  return judge.findings();
}

const log = (numbers: readonly number[]) => numbers.map((n, offset) => event(n, offset));
const clean = { unidentified: 0, inversions: 0, undecided: 0, ties: 0, misplaced: 0, duplicates: 0 };

describe("the judge of a partition", () => {
  it.each([
    ["everything once, in order", [1, 2, 3], {}],
    ["a gap, for deleted and rolled back events are no fault", [1, 3, 9], {}],
    ["a suffix again", [1, 2, 3, 2, 3, 4], { duplicates: 2 }],
    ["two exchanged", [1, 3, 2, 4], { inversions: 1 }],
    ["the first two exchanged", [2, 1], { inversions: 1 }],
    ["one far behind", [1, 5, 6, 7, 2], { inversions: 1 }],
  ])("%s", (_, numbers, expected) => {
    expect(judged(log(numbers))).toMatchObject({ records: numbers.length, ...clean, ...expected });
  });

  it("does not judge ties, and counts them", () => {
    const tie = { ...event(2, 2), eventId: "other" };
    expect(judged([event(1, 0), event(2, 1), tie])).toMatchObject({ ...clean, ties: 1 });
  });

  it("counts what nobody can identify, with where it lies", () => {
    const findings = judged([
      event(1, 0),
      { ...event(2, 1), eventId: null },
      { ...event(3, 2), createdAt: "yesterday" },
      { ...event(4, 3), key: null },
    ]);
    expect(findings).toMatchObject({ ...clean, unidentified: 3 });
    expect(findings.examples.unidentified[0]).toEqual({
      topic: "t",
      partition: 0,
      offset: 1,
      aggregateId: "a",
    });
  });

  it("keeps aggregates apart", () => {
    const records = [
      event(5, 0, "a"),
      event(1, 1, "b"),
      event(6, 2, "a"),
      event(2, 3, "b"),
      event(2, 4, "b"),
    ];
    const findings = judged(records);
    expect(findings).toMatchObject({ ...clean, duplicates: 1 });
    expect([...findings.duplicatesOf]).toEqual([["b", 1]]);
  });

  it("leaves undecided what may be a replay of what it has not read, and nothing else", () => {
    // Read from the middle: 4 and 5 may have occurred before; 7 was read for the first time behind 8.
    expect(judged(log([1, 4, 5, 6, 4, 5, 6, 8, 7]), { from: 3 })).toMatchObject({
      undecided: 2,
      inversions: 1,
    });
    expect(judged(log([1, 4, 5, 6, 4, 5, 6, 8, 7]))).toMatchObject({
      undecided: 0,
      inversions: 1,
      duplicates: 3,
    });
  });

  it("learns from records before those it judges, and does not count them", () => {
    const numbers = [1, 3, 2, 4, 5, 4, 5, 6];
    expect(judged(log(numbers), { judgedFrom: 5 })).toMatchObject({ ...clean, records: 3, duplicates: 2 });
  });

  it("never objects to an ordered log with replays of suffixes, wherever the reading begins", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ forward: fc.integer({ min: 1, max: 4 }), back: fc.integer({ min: 0, max: 6 }) }),
          { maxLength: 12 },
        ),
        fc.nat(40),
        (steps, from) => {
          const numbers: number[] = [];
          let top = 0;
          for (const { forward, back } of steps) {
            for (let n = Math.max(1, top - back + 1); n <= top + forward; n += 1) numbers.push(n);
            top += forward;
          }
          expect(judged(log(numbers), { from })).toMatchObject({ inversions: 0 });
          expect(judged(log(numbers))).toMatchObject({
            inversions: 0,
            undecided: 0,
            duplicates: numbers.length - top,
          });
        },
      ),
    );
  });

  it("finds every exchange of neighbours in a whole log", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 30 }), fc.nat(), (length, at) => {
        const numbers = Array.from({ length }, (_, n) => n + 1);
        const place = at % (length - 1);
        [numbers[place], numbers[place + 1]] = [place + 2, place + 1];
        expect(judged(log(numbers))).toMatchObject({ inversions: 1 });
      }),
    );
  });
});

describe("a topic", () => {
  it("has an aggregate in two partitions, and says which have the most duplicates", () => {
    const parts = new Map([
      [0, judged([event(1, 0), event(1, 1), event(1, 2, "b"), event(1, 3, "b"), event(1, 4, "b")])],
      [1, judged([event(2, 0), event(1, 1, "c")], { partition: 1 })],
    ]);
    expect(mergePartitions("t", 2, parts)).toMatchObject({
      records: 7,
      aggregates: 3,
      split: 1,
      misplaced: 2,
      duplicates: 3,
      worst: [
        { aggregateId: "b", duplicates: 2 },
        { aggregateId: "a", duplicates: 1 },
      ],
      examples: { split: [{ topic: "t", partition: 1, aggregateId: "a" }] },
    });
  });
});
