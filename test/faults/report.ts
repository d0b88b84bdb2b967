/** What a run of the suite says: a line when a row is done, a table at the end, and docs/faults.md. */
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import type { RowResult } from "./row.ts";

export interface MutantResult {
  readonly name: string;
  readonly caught: boolean;
  /** What the checker said about it. */
  readonly by: string;
}

export interface Surroundings {
  readonly seed: number;
  readonly postgres: string;
  readonly kafka: string;
}

const docs = fileURLToPath(new URL("../../docs/faults.md", import.meta.url));

function stateOf({ ok, impossible }: RowResult): string {
  if (impossible !== undefined) return "NOT RUN";
  return ok ? "ok" : "FAILED";
}

export function lineOf(result: RowResult): string {
  const { id, title, events, inversions, duplicates, duplicatesMax, recoveryMs, seconds, violations, notes } =
    result;
  const disorder = inversions === 0 ? "" : `, ${inversions} inversions`;
  const recovery = recoveryMs === null ? "" : `, recovered in ${Math.round(recoveryMs)} ms`;
  const head = `${stateOf(result).padEnd(7)} ${id.padEnd(4)} ${title}: ${events} events, duplicates ${duplicates} of ${duplicatesMax} allowed${disorder}${recovery} (${seconds} s)`;
  return [
    head,
    ...violations.map((text) => `          ! ${text}`),
    ...notes.map((text) => `          - ${text}`),
  ].join("\n");
}

const columns = [
  "row",
  "fault",
  "result",
  "events",
  "missing",
  "phantom",
  "inversions",
  "duplicates",
  "recovery ms",
];

function cellsOf(result: RowResult): string[] {
  const { id, title, events, missing, phantom, inversions, duplicates, duplicatesMax, recoveryMs } = result;
  const recovery = recoveryMs === null ? "–" : String(Math.round(recoveryMs));
  const counts = [events, missing, phantom, inversions].map(String);
  return [id, title, stateOf(result), ...counts, `${duplicates} (≤ ${duplicatesMax})`, recovery];
}

export function tableOf(results: readonly RowResult[]): string {
  const lines = [columns, columns.map(() => "---"), ...results.map(cellsOf)];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Writes docs/faults.md. */
export async function writeDocs(
  results: readonly RowResult[],
  mutants: readonly MutantResult[],
  { seed, postgres, kafka }: Surroundings,
): Promise<void> {
  const date = new Date().toISOString().slice(0, 10);
  const expectations = results.map(({ id, bound, notes, violations }) => {
    return `- **${id}**: ${[bound, ...notes, ...violations].join(". ")}.`;
  });
  const text = `# Faults

Written by \`npm run faults -- --write-docs\` on ${date}: Node.js ${process.versions.node}, PostgreSQL ${postgres},
${kafka}, ${cpus().length} cores, seed ${seed}. Real relay processes; eight writers and 200 aggregates unless the
row says otherwise; batches of 200 events, a lease TTL of 2 s. Missing, phantom and inversions must be 0
everywhere the row does not say why not; duplicates stand beside the number that the fault allows.

${tableOf(results)}

## What each row allows, and what it saw

${expectations.join("\n")}

F21 (a transaction coordinator lost) belongs to exactly-once delivery and is not here. Two things are not
judged in any row: the offset inside an ack (what is judged is that whatever was deleted is in the topic),
and which relay wrote a record (records do not say).

## Is the checker awake?

Each of these is the real relay with one rule taken out, run through the same checker, which must object.

| rule taken out | caught | by |
| --- | --- | --- |
${mutants.map(({ name, caught, by }) => `| ${name} | ${caught ? "yes" : "**NO**"} | ${by} |`).join("\n")}
`;
  await writeFile(docs, text);
}
