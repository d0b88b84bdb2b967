/** What a run of the suite says: a line when a row is done, and a table at the end. */
import type { Delivery } from "./delivery.ts";
import type { RowResult } from "./row.ts";

export interface MutantResult {
  readonly name: string;
  readonly caught: boolean;
  /** What the checker said about it. */
  readonly by: string;
}

/** One run of the suite in one mode of delivery. */
export interface SuiteRun {
  readonly delivery: Delivery;
  readonly rows: readonly RowResult[];
  readonly mutants: readonly MutantResult[];
  readonly seed: number;
  readonly postgres: string;
  readonly kafka: string;
}

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
