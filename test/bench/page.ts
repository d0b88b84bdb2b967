/** A page of docs/bench: what was measured, on what, how, and the command that measures it again. Pure. */
import type { Machine } from "./machine.ts";

export interface Table {
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

export interface Page {
  readonly title: string;
  /** What is compared with what, in a few sentences. */
  readonly method: string;
  readonly tables: readonly Table[];
  /** Names of the plots, without their ending. */
  readonly plots: readonly string[];
}

export function renderPage(page: Page, machine: Machine, command: string): string {
  return [
    `# ${page.title}`,
    "",
    "Written by the benchmark itself; do not edit.",
    "",
    page.method,
    "",
    ...page.plots.flatMap((name) => [`![${name}](${name}.svg)`, ""]),
    ...page.tables.flatMap((table) => [table.caption, "", ...renderTable(table), ""]),
    "## Measured on",
    "",
    ...renderTable(machineTable(machine, command)),
    "",
    ...businessOf(machine),
  ].join("\n");
}

/** What the reader has to know before comparing these figures with any other. */
function businessOf({ cores, loadAverage }: Machine): string[] {
  const factor = loadAverage.before / cores;
  if (factor < 1) return [];
  return [
    `The machine was busy with other work: before the run ${loadAverage.before} programs wanted to run at a time, on`,
    `${cores} cores. So only the ratios within this run mean anything, and the processor time per event; latencies are`,
    "mostly the time for which every process waits for its turn.",
    "",
  ];
}

function renderTable({ head, rows }: Pick<Table, "head" | "rows">): string[] {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}

function machineTable(machine: Machine, command: string): Pick<Table, "head" | "rows"> {
  const pairs = (record: Readonly<Record<string, string>>) =>
    Object.entries(record)
      .map(([name, value]) => `${name} ${value}`)
      .join(", ");
  const { before, after } = machine.loadAverage;
  return {
    head: ["", ""],
    rows: [
      ["date", machine.date],
      ["machine", `${machine.cores} cores (${machine.processor}), ${machine.memoryGigabytes} GB`],
      ["load average", `${before} before, ${after} after`],
      ["versions", pairs(machine.versions)],
      ["PostgreSQL", `settings: ${pairs(machine.postgresSettings)}`],
      ["again", `\`${command}\``],
    ],
  };
}
