/** Both checkers, each shown every kind of wrong: one that has never objected proves nothing. */
import { describe, expect, it } from "vitest";
import { type Audited, judge, type Recorded } from "./judge.ts";
import { Ledger } from "./ledger.ts";

const id = (n: number) => `0000000${n}-aaaa-4aaa-8aaa-aaaaaaaaaaaa`;

/** Three events of one aggregate; the last two share a created_at. */
const committed: readonly Audited[] = [1, 2, 3].map((n) => ({
  eventId: id(n),
  aggregateId: "a",
  createdAt: `2026-01-01T00:00:00.00000${Math.min(n, 2)}Z`,
  seq: String(n),
  payloadMd5: `md5 ${n}`,
}));

/** The topic with these events, in this order. */
function topicOf(numbers: readonly number[], more: Partial<Recorded> = {}): Recorded[] {
  return numbers.map((n, offset) => ({
    eventId: id(n),
    aggregateId: "a",
    partition: 0,
    offset,
    createdAt: committed[n - 1]?.createdAt ?? "",
    payloadMd5: `md5 ${n}`,
    ...more,
  }));
}

const clean = { missing: 0, phantom: 0, inversions: 0, gaps: 0, strays: 0, corrupted: 0, duplicates: 0 };

describe("judge", () => {
  it.each([
    ["everything once, in order", [1, 2, 3], {}],
    ["a suffix again", [1, 2, 3, 2, 3], { duplicates: 2 }],
    ["one missing at the end", [1, 2], { missing: 1 }],
    ["one missing in the middle", [1, 3], { missing: 1, gaps: 1 }],
    ["two exchanged, by seq alone", [1, 3, 2], { inversions: 1, gaps: 1 }],
    ["one that nobody committed", [1, 2, 3, 4], { phantom: 1 }],
  ])("%s", (_, numbers, expected) => {
    expect(judge(committed, topicOf(numbers))).toMatchObject({ events: 3, ...clean, ...expected });
  });

  it("sees a second partition, another payload, another key and another created_at", () => {
    const [first, second, third] = topicOf([1, 2, 3]);
    const of = (record: Recorded | undefined) => judge(committed, topicOf([1, 2]).concat(record ?? []));
    expect(of({ ...(third as Recorded), partition: 1 })).toMatchObject({ strays: 1 });
    expect(of({ ...(third as Recorded), payloadMd5: "other" })).toMatchObject({ corrupted: 1 });
    expect(of({ ...(third as Recorded), aggregateId: "b" })).toMatchObject({ corrupted: 1 });
    expect(of({ ...(third as Recorded), createdAt: first?.createdAt ?? "" })).toMatchObject({ corrupted: 1 });
    expect(of(second)).toMatchObject({ duplicates: 1, missing: 1 });
  });
});

describe("ledger", () => {
  const [one, two, three] = committed as [Audited, Audited, Audited];

  function ledgerAfter(steps: (ledger: Ledger) => void): Ledger {
    const ledger = new Ledger(8);
    ledger.intend(committed);
    steps(ledger);
    return ledger;
  }

  it("counts nothing wrong when arrivals come before or after the answer to the commit", () => {
    const ledger = ledgerAfter((book) => {
      book.arrive(one.eventId);
      book.commit(committed);
      book.arrive(two.eventId);
      book.arrive(three.eventId);
    });
    expect(ledger).toMatchObject({
      events: 3,
      arrived: 3,
      missing: 0,
      phantom: 0,
      inversions: 0,
      duplicates: 0,
    });
  });

  it("sees what is missing, doubled, exchanged, unknown, and rolled back", () => {
    expect(ledgerAfter((book) => book.commit(committed)).missing).toBe(3);
    const wrong = ledgerAfter((book) => {
      book.commit([two, three]);
      for (const { eventId } of [three, two, two]) book.arrive(eventId);
      book.arrive(id(9));
      book.arrive(one.eventId);
      book.abort([one]);
    });
    expect(wrong).toMatchObject({ missing: 0, inversions: 2, duplicates: 1, phantom: 2 });
  });
});
