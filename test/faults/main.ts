/**
 * The fault suite: `npm run faults -- [--delivery exactly-once] [--only F7,F11,mutants] [--seed N] [--minutes M]
 * [--brokers 1|3] [--json] [--write-docs]`. Real relays between a real PostgreSQL and a real Kafka, hurt row by row. Ends with 1
 * when a row did not hold, or could not be run.
 */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { kafkaVersion } from "../../src/environment/kafka-jars.ts";
import { RelayProcess } from "../support/relay-process.ts";
import type { Delivery } from "./delivery.ts";
import { writeDocs } from "./fault-docs.ts";
import { matrix } from "./matrix.ts";
import { runMutants } from "./mutants.ts";
import { lineOf, type MutantResult, tableOf } from "./report.ts";
import { everyDelivery, isUnder, type Row, type RowResult, runRow } from "./row.ts";
import { Stage } from "./stage.ts";

const { values } = parseArgs({
  options: {
    delivery: { type: "string", default: "at-least-once" },
    only: { type: "string" },
    seed: { type: "string" },
    minutes: { type: "string" },
    brokers: { type: "string" },
    json: { type: "boolean", default: false },
    "write-docs": { type: "boolean", default: false },
  },
});

const delivery = deliveryOf(values.delivery);

function deliveryOf(text: string): Delivery {
  const found = everyDelivery.find((one) => one === text);
  if (found === undefined) throw new Error(`--delivery is one of ${everyDelivery.join(", ")}`);
  return found;
}

const say = (text: string) => process.stderr.write(`${text}\n`);

function chosenRows(): readonly Row[] {
  const ids = values.only
    ?.split(",")
    .map((id) => id.trim().toUpperCase())
    .filter((id) => id !== "MUTANTS");
  const rows = matrix.filter((row) => isUnder(row, delivery));
  const unknown = ids?.filter((id) => !rows.some((row) => row.id === id)) ?? [];
  if (unknown.length > 0) {
    const known = rows.map(({ id }) => id).join(", ");
    throw new Error(`${delivery} has no row ${unknown.join(", ")}; use ${known}`);
  }
  return rows.filter(
    ({ id, play }) =>
      (ids === undefined || ids.includes(id)) &&
      (values.brokers === undefined || Number(values.brokers) === (play?.brokers ?? 1)),
  );
}

interface SuiteResult {
  readonly rows: readonly RowResult[];
  readonly mutants: readonly MutantResult[];
  readonly postgres: string;
}

const mutantLine = ({ name, caught, by }: MutantResult) =>
  `${caught ? "caught " : "MISSED "} mutant: ${name} (${by})`;

async function runAll(rows: readonly Row[], seed: number, directory: string): Promise<SuiteResult> {
  const endMs = performance.now() + Number(values.minutes ?? 0) * 60_000;
  const results: RowResult[] = [];
  const stage = await Stage.open({ flavour: "ours", onProgress: (text) => say(`${text} ...`) });
  try {
    // A run of chosen rows is about these; the whole suite also asks whether its checker is awake.
    const isWhole = values.only === undefined || values.only.toLowerCase().includes("mutants");
    const mutants = isWhole
      ? await runMutants(stage, { seed, directory, delivery }, (result) => say(mutantLine(result)))
      : [];
    let round = 0;
    do {
      for (const row of rows) {
        const result = await runRow(stage, row, seed + round, { directory, delivery });
        results.push(result);
        say(lineOf(result));
      }
      round += 1;
    } while (performance.now() < endMs);
    return { rows: results, mutants, postgres: stage.postgres.version };
  } finally {
    await RelayProcess.endAll();
    await stage.close();
  }
}

const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
const directory = await mkdtemp(join(tmpdir(), "outrider-faults-"));
say(`seed ${seed}; histories in ${directory}`);
const { rows, mutants, postgres } = await runAll(chosenRows(), seed, directory);
process.stdout.write(`${tableOf(rows)}\n`);
if (values["write-docs"])
  await writeDocs(
    { delivery, rows, mutants, seed, postgres, kafka: `Apache Kafka ${kafkaVersion}` },
    matrix.filter((row) => isUnder(row, delivery)).map(({ id }) => id),
  );
if (values.json) process.stdout.write(`${JSON.stringify({ delivery, rows, mutants })}\n`);
process.exitCode = rows.every(({ ok }) => ok) && mutants.every(({ caught }) => caught) ? 0 : 1;
// What a row has cut off for good may still be dialling.
process.exit();
