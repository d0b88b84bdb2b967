/**
 * docs/faults.md, and docs/faults.json from which it is written: what the last run of each row has said,
 * in each mode of delivery. A run replaces the rows that it has run, and nothing else.
 */
import { readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import type { Delivery } from "./delivery.ts";
import { type MutantResult, type SuiteRun, tableOf } from "./report.ts";
import { everyDelivery, type RowResult } from "./row.ts";

const place = (name: string) => fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));

/** The last run of a row, and where it was. */
type WrittenRow = RowResult & { readonly on: string };

interface Chapter {
  /** Of the last run. */
  readonly on: string;
  readonly rows: readonly WrittenRow[];
  readonly mutants: readonly MutantResult[];
}

type Chapters = { readonly [mode in Delivery]?: Chapter };

/** What the whole run was made on, for the reader. */
function surroundingsOf({ postgres, kafka }: SuiteRun): string {
  const date = new Date().toISOString().slice(0, 10);
  return `${date}, Node.js ${process.versions.node}, PostgreSQL ${postgres}, ${kafka}, ${cpus().length} cores`;
}

async function readChapters(): Promise<Chapters> {
  try {
    return JSON.parse(await readFile(place("faults.json"), "utf8")) as Chapters;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
    throw error;
  }
}

/** The chapter as it stands after this run; pure. `order`: the ids of all rows of this mode. */
export function mergeChapter(
  before: Chapter | undefined,
  { rows, mutants }: Pick<SuiteRun, "rows" | "mutants">,
  on: string,
  order: readonly string[],
): Chapter {
  const byId = new Map((before?.rows ?? []).map((row) => [row.id, row]));
  for (const row of rows) byId.set(row.id, { ...row, on });
  return {
    on,
    rows: order.flatMap((id) => byId.get(id) ?? []),
    mutants: mutants.length > 0 ? mutants : (before?.mutants ?? []),
  };
}

/** Writes both files. */
export async function writeDocs(run: SuiteRun, order: readonly string[]): Promise<void> {
  const before = await readChapters();
  const chapter = mergeChapter(before[run.delivery], run, surroundingsOf(run), order);
  const chapters: Chapters = { ...before, [run.delivery]: chapter };
  await writeFile(place("faults.json"), `${JSON.stringify(chapters, null, 2)}\n`);
  await writeFile(place("faults.md"), documentOf(chapters));
}

const promises: { readonly [mode in Delivery]: string } = {
  "at-least-once": `The topic is read whole. Missing, phantom and inversions must be 0 everywhere the row does not say why
not; duplicates stand beside the number that the fault allows.`,
  "exactly-once": `The topic is read as a consumer with \`read_committed\` reads it. Missing, phantom, inversions and duplicates
must be 0 everywhere the row does not say why not.`,
  "at-most-once": `The topic is read whole, records of unknown outcome included. Duplicates must be 0. Every event that is missing
must stand in what the relays have logged as dropped or in doubt; the notes say how many of those arrived after all.`,
};

export function documentOf(chapters: Chapters): string {
  const written = everyDelivery.flatMap((mode) => {
    const chapter = chapters[mode];
    return chapter === undefined ? [] : [chapterOf(mode, chapter)];
  });
  return `# Faults

Written by \`npm run faults -- --write-docs\`, with \`--delivery\` for each mode; the results stand beside it in
\`faults.json\`. Real relay processes; eight writers and 200 aggregates unless the row says otherwise; batches of 200
events, a lease TTL of 2 s. Two things are not judged in any row: the offset inside an ack (what is judged is that
whatever was deleted is in the topic), and which relay wrote a record (records do not say).

${written.join("\n")}`;
}

function chapterOf(mode: Delivery, { on, rows, mutants }: Chapter): string {
  const seeds = [...new Set(rows.map(({ seed }) => seed))].join(", ");
  const notes = rows.map(({ id, bound, notes, violations, on: ranOn }) => {
    const elsewhere = ranOn === on ? [] : [`Run on ${ranOn}`];
    return `- **${id}**: ${[bound, ...notes, ...violations, ...elsewhere].join(". ")}.`;
  });
  return `## ${mode}

${on}; seeds ${seeds}. ${promises[mode]}

${tableOf(rows)}

### What each row allows, and what it saw

${notes.join("\n")}

### Is the checker awake?

${mutantsOf(mutants)}
`;
}

function mutantsOf(mutants: readonly MutantResult[]): string {
  if (mutants.length === 0) return "The checker is that of the other modes, and its twins stand there.";
  const lines = mutants.map(({ name, caught, by }) => `| ${name} | ${caught ? "yes" : "**NO**"} | ${by} |`);
  return `Each of these is the real relay with one rule taken out, run through the same checker, which must object.

| rule taken out | caught | by |
| --- | --- | --- |
${lines.join("\n")}`;
}
