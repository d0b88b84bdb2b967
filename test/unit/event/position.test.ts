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

  it("reads the same whatever it read before: other minutes, zones and lengths of the fraction", () => {
    const zone = fc.constantFrom("+00:00", "+02:30", "-11:00", "Z", "+05");
    const piece = fc.tuple(fc.integer({ min: 0, max: 4_102_444_800_000_000 }), zone, fc.nat(6));
    fc.assert(
      fc.property(fc.array(piece, { minLength: 2, maxLength: 20 }), (pieces) => {
        const texts = pieces.map(([micros, zone, digits]) => {
          const [seconds, fraction] = isoOfMicros(micros).replace("Z", "").split(".") as [string, string];
          return `${seconds}${digits === 0 ? "" : `.${fraction.slice(0, digits)}`}${zone}`;
        });
        for (const text of texts) {
          const [, seconds, fraction = "", zone] = /^([^.]{19})(?:\.(\d+))?(.+)$/.exec(
            text,
          ) as unknown as string[];
          const whole = Date.parse(`${seconds}${zone?.length === 3 ? `${zone}:00` : zone}`) * 1000;
          expect(microsOfIso(text)).toBe(whole + Number(fraction.padEnd(6, "0")));
        }
      }),
    );
    expect(microsOfIso("2026-01-02T03:04:xx.000001+00:00")).toBeNaN();
    expect(microsOfIso("2026-01-02T03:04:60.000001+00:00")).toBeNaN();
    expect(microsOfIso("2026-13-02T03:04:05.000001+00:00")).toBeNaN();
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
