import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OffsetLedger } from "../../../src/inbox/offset-ledger.ts";

describe("the ledger of offsets", () => {
  it("stands at the first offset that is not done, whatever the order in which they are done", () => {
    const run = fc.property(
      fc.uniqueArray(fc.integer({ min: 0, max: 5_000 }), { minLength: 1, maxLength: 3_000 }),
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })),
      (given, chances) => {
        const offsets = given.toSorted((a, b) => a - b);
        const ledger = new OffsetLedger();
        const open = offsets.map((offset) => ledger.accept(BigInt(offset)));
        while (open.length > 0) {
          expect(ledger.lowWater).toBe(
            open.reduce((low, { offset }) => (offset < low ? offset : low), 1n << 60n),
          );
          const picked = Math.floor((chances.next().value ?? 0) * open.length);
          for (const entry of open.splice(picked, 1 + Math.floor(open.length / 20))) ledger.finish(entry);
        }
        expect(ledger.lowWater).toBe(BigInt(offsets.at(-1) ?? 0) + 1n);
        expect(ledger.aheadCount).toBe(0);
      },
    );
    fc.assert(run, { numRuns: 30 });
  });

  it("passes over what is no event, but not over what is not done", () => {
    const ledger = new OffsetLedger();
    expect(ledger.lowWater).toBeUndefined();
    const entry = ledger.accept(7n);
    ledger.skipTo(10n);
    expect(ledger.lowWater).toBe(7n);
    ledger.finish(entry);
    expect(ledger.lowWater).toBe(10n);
  });
});
