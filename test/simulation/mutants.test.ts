/** A checker that was never seen to fail proves nothing: every mutant of the relay has to be caught. */
import { describe, expect, it } from "vitest";
import { hunt } from "./hunt.ts";
import { mutants } from "./mutants.ts";

/** Most are caught by the first few scenarios; some need two things to go wrong within a millisecond. */
const runsMax = 6_000;

describe("mutants", () => {
  for (const mutant of mutants) {
    it(`catches: ${mutant.name}`, { timeout: 120_000 }, async () => {
      const seed = mutant.seed ?? Math.floor(Math.random() * 1e6);
      const { found } = await hunt({ seed, runs: runsMax, mutant, shrinkMsMax: 0 });
      console.log(`${mutant.name}: seed ${seed}, run ${found?.runsNeeded}, "${found?.violations[0]?.law}"`);
      expect(found, mutant.fault).toBeDefined();
    });
  }
});
