import { describe, expect, it } from "vitest";
import { type Found, judgeCustody, type SeenRow } from "../../../src/audit/custody.ts";
import type { Place } from "../../../src/outbox/witness.ts";

const createdAt = "2026-01-01T00:00:00.000001+00:00";
const row = (more: Partial<SeenRow> = {}): SeenRow => ({
  eventId: "e",
  aggregateId: "a",
  createdAt,
  topic: null,
  aggregateType: null,
  destination: "t",
  isEarly: true,
  ...more,
});

function fate(seen: SeenRow, place: Place | undefined, record: Found | undefined, isCovered = true) {
  const findings = judgeCustody({
    rows: [seen],
    places: new Map(place === undefined ? [] : [[seen.eventId, place]]),
    found: new Map(record === undefined ? [] : [[seen.eventId, record]]),
    isCovered: () => isCovered,
  });
  const { judged, examples, ...counts } = findings;
  return Object.entries(counts).flatMap(([name, count]) => (count > 0 ? [name] : []));
}

const early: Found = { isEarly: true, createdAt };

describe("custody", () => {
  it("finds every row somewhere, or says that it is missing", () => {
    expect(fate(row(), "outbox", undefined)).toEqual(["waiting"]);
    expect(fate(row(), "dead-letter", undefined)).toEqual(["dead"]);
    expect(fate(row(), undefined, early)).toEqual(["published"]);
    expect(fate(row(), undefined, undefined)).toEqual(["missing"]);
  });

  it("calls nothing missing that it may have overlooked", () => {
    expect(fate(row(), undefined, undefined, false)).toEqual(["unproven"]);
    expect(fate(row(), undefined, early, false)).toEqual(["published"]);
  });

  it("sees a row that nobody removes, and no other that is merely on its way", () => {
    expect(fate(row(), "outbox", early)).toEqual(["waiting", "lingering"]);
    expect(fate(row(), "outbox", { ...early, isEarly: false })).toEqual(["waiting"]);
    expect(fate(row({ isEarly: false }), "outbox", early)).toEqual(["waiting"]);
    // The same instant, as a session in another time zone writes it.
    expect(fate(row({ createdAt: "2026-01-01T02:00:00.000001+02:00" }), "outbox", early)).toContain(
      "lingering",
    );
    // Written again under its old id: its old record says nothing about it.
    expect(fate(row({ createdAt: "2026-01-02T00:00:00+00:00" }), "outbox", early)).toEqual(["waiting"]);
  });
});
