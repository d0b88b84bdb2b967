import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { comparePositions, isoOfMicros, microsOfIso } from "../../../src/event/position.ts";

describe("position", () => {
  it("keeps every microsecond through text and back", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_102_444_800_000_000 }), (micros) => {
        expect(microsOfIso(isoOfMicros(micros))).toBe(micros);
      }),
    );
  });

  it("reads what PostgreSQL writes: trimmed fractions, offsets, infinities", () => {
    expect(microsOfIso("2026-01-02T03:04:05+00:00")).toBe(Date.UTC(2026, 0, 2, 3, 4, 5) * 1000);
    expect(microsOfIso("2026-01-02T03:04:05.1+00:00")).toBe(Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 100_000);
    expect(microsOfIso("2026-01-02T05:34:05.000001+02:30")).toBe(Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 1);
    expect(microsOfIso("2026-01-02T03:04:05+00")).toBe(Date.UTC(2026, 0, 2, 3, 4, 5) * 1000);
    expect(microsOfIso("-infinity")).toBe(Number.NEGATIVE_INFINITY);
    expect(microsOfIso("infinity")).toBe(Number.POSITIVE_INFINITY);
    expect(microsOfIso("0044-03-15T00:00:00+00:00 BC")).toBeNaN();
  });

  it("orders by created_at and breaks ties by seq as a number", () => {
    const at = (createdAt: string, seq: string) => ({ createdAt, seq });
    expect(
      comparePositions(at("2026-01-02T03:04:05.1+00:00", "9"), at("2026-01-02T03:04:05.09+00:00", "1")),
    ).toBeGreaterThan(0);
    expect(
      comparePositions(at("2026-01-02T03:04:05+00:00", "9"), at("2026-01-02T03:04:05+00:00", "10")),
    ).toBeLessThan(0);
    expect(comparePositions(at("2026-01-02T04:04:05+01:00", "9"), at("2026-01-02T03:04:05+00:00", "9"))).toBe(
      0,
    );
    expect(comparePositions(at("-infinity", "9"), at("2026-01-02T03:04:05+00:00", "1"))).toBeLessThan(0);
  });
});
