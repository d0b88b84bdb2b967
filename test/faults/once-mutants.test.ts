/**
 * The broken twins of exactly-once, in every run: a twin that goes unnoticed is a checker asleep, and a change of
 * the relay can put one to sleep without any other test noticing.
 */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { onceMutants, tryOnceMutant } from "./once-mutants.ts";
import { Stage } from "./stage.ts";

describe("broken twins of exactly-once", () => {
  const seed = Math.floor(Math.random() * 1e6);
  let stage: Stage;
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "outrider-mutants-"));
    stage = await Stage.open({ flavour: "any", onProgress: () => undefined });
  });

  afterAll(() => stage.close());

  for (const mutant of onceMutants) {
    it(`catches: ${mutant.name}`, async () => {
      const { caught, by } = await tryOnceMutant(stage, mutant, {
        seed,
        directory,
        delivery: "exactly-once",
      });
      console.log(`seed ${seed}, histories in ${directory}\n${mutant.name}: ${by}`);
      expect(caught, by).toBe(true);
    });
  }
});
