/** The rows of the fault matrix that every run can afford; `npm run faults` has all of them. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RelayProcess } from "../support/relay-process.ts";
import { matrix, shortIds } from "./matrix.ts";
import { lineOf } from "./report.ts";
import { everyDelivery, isUnder, type Row, runRow } from "./row.ts";
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

  for (const delivery of everyDelivery) {
    const isChosen = (row: Row) => isUnder(row, delivery) && shortIds[delivery].includes(row.id);
    for (const row of matrix.filter(isChosen)) {
      it(`${row.id}, ${delivery}: ${row.title}`, async () => {
        const result = await runRow(stage, row, seed, { directory, delivery, isShort: true, isTimed: false });
        console.log(`seed ${seed}, history in ${directory}\n${lineOf(result)}`);
        expect(result).toMatchObject({ ok: true, violations: [], phantom: 0, inversions: 0 });
        if (delivery !== "at-most-once") expect(result.missing).toBe(0);
        expect(result.events).toBeGreaterThan(100);
      });
    }
  }
});
