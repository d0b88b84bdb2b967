/**
 * The fault suite: `npm run faults -- [--only F7,F11] [--seed N] [--minutes M] [--brokers 1|3] [--json]
 * [--write-docs]`. Real relays between a real PostgreSQL and a real Kafka, hurt row by row. Ends with 1
 * when a row did not hold, or could not be run.
 */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { RelayProcess } from "../support/relay-process.ts";
import { matrix } from "./matrix.ts";
import { lineOf, tableOf } from "./report.ts";
import { type Row, type RowResult, runRow } from "./row.ts";
import { Stage } from "./stage.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    seed: { type: "string" },
    minutes: { type: "string" },
    brokers: { type: "string" },
    json: { type: "boolean", default: false },
    "write-docs": { type: "boolean", default: false },
  },
});

const say = (text: string) => process.stderr.write(`${text}\n`);

function chosenRows(): readonly Row[] {
  const ids = values.only?.split(",").map((id) => id.trim().toUpperCase());
  const unknown = ids?.filter((id) => !matrix.some((row) => row.id === id)) ?? [];
  if (unknown.length > 0)
    throw new Error(`there is no row ${unknown.join(", ")}; use ${matrix.map(({ id }) => id).join(", ")}`);
  return matrix.filter(
    ({ id, play }) =>
      (ids === undefined || ids.includes(id)) &&
      (values.brokers === undefined || Number(values.brokers) === (play?.brokers ?? 1)),
  );
}

async function runAll(rows: readonly Row[], seed: number, directory: string): Promise<RowResult[]> {
  const endMs = performance.now() + Number(values.minutes ?? 0) * 60_000;
  const results: RowResult[] = [];
  const stage = await Stage.open({ flavour: "ours", onProgress: (text) => say(`${text} ...`) });
  try {
    let round = 0;
    do {
      for (const row of rows) {
        const result = await runRow(stage, row, seed + round, { directory });
        results.push(result);
        say(lineOf(result));
      }
      round += 1;
    } while (performance.now() < endMs);
    return results;
  } finally {
    await RelayProcess.endAll();
    await stage.close();
  }
}

const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
const directory = await mkdtemp(join(tmpdir(), "outrider-faults-"));
say(`seed ${seed}; histories in ${directory}`);
const rows = await runAll(chosenRows(), seed, directory);
process.stdout.write(`${tableOf(rows)}\n`);

if (values.json) process.stdout.write(`${JSON.stringify({ rows, mutants: [] })}\n`);
process.exitCode = rows.every(({ ok }) => ok) ? 0 : 1;
