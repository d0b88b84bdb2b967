/** The rows of the fault matrix that every run can afford; `npm run faults` has all of them. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RelayProcess } from "../support/relay-process.ts";
import { matrix, shortIds } from "./matrix.ts";
import { lineOf } from "./report.ts";
import { runRow } from "./row.ts";
import { Stage } from "./stage.ts";

describe("fault matrix, in short", () => {
  const seed = Math.floor(Math.random() * 1e6);
  let stage: Stage;
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "outrider-faults-"));
    stage = await Stage.open({ flavour: "any", onProgress: () => undefined });
  });

  afterAll(async () => {
    await RelayProcess.endAll();
    await stage.close();
  });

  for (const row of matrix.filter(({ id }) => shortIds.includes(id))) {
    it(`${row.id}: ${row.title}`, async () => {
      const result = await runRow(stage, row, seed, { directory, isShort: true });
      console.log(`seed ${seed}, history in ${directory}\n${lineOf(result)}`);
      expect(result).toMatchObject({ ok: true, violations: [], missing: 0, phantom: 0, inversions: 0 });
      expect(result.events).toBeGreaterThan(100);
    });
  }
});
