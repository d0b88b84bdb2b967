/** What a person sees: a line while it runs, a table when it is over. Pure; colours are a parameter. */
import type { Audit } from "./auditor.ts";

export interface Palette {
  good(text: string): string;
  bad(text: string): string;
  faint(text: string): string;
}

export const plain: Palette = { good: (text) => text, bad: (text) => text, faint: (text) => text };

const csi = "\u001b[";
export const coloured: Palette = {
  good: (text) => `${csi}32m${text}${csi}39m`,
  bad: (text) => `${csi}31m${text}${csi}39m`,
  faint: (text) => `${csi}2m${text}${csi}22m`,
};

export interface Sample {
  readonly committed: number;
  readonly published: number;
  /** Events published in the last second. */
  readonly eventsPerSecond: number;
  /** The rates before it, oldest first. */
  readonly rates: readonly number[];
}

const number = (value: number) => Math.round(value).toLocaleString("en-US");

/** One line of progress, cut to `columns`: a wrapped line could not be rewritten. */
export function progressLine(sample: Sample, columns: number): string {
  const { committed, published, eventsPerSecond, rates } = sample;
  const text = [
    `committed ${number(committed)}`,
    `published ${number(published)}`,
    `backlog ${number(Math.max(0, committed - published))}`,
    `${number(eventsPerSecond)}/s ${sparkline(rates)}`,
  ].join("  ");
  return text.slice(0, Math.max(0, columns - 1));
}

const bars = "▁▂▃▄▅▆▇█";

export function sparkline(values: readonly number[]): string {
  const top = Math.max(1, ...values);
  return values.map((value) => bars[Math.min(7, Math.floor((value / top) * 8))] ?? "").join("");
}

/** All that a finished run has to say. */
export interface Outcome extends Audit {
  readonly to: "kafka" | "stdout";
  readonly rolledBack: number;
  /** Rows still in the outbox at the end. */
  readonly left: number;
  /** Whether the relay, asked to stop, finished and ended with success. */
  readonly isStopClean: boolean;
  readonly elapsedMs: number;
  readonly eventsPerSecond: number;
  readonly seed: number;
}

interface Promised {
  readonly holds: boolean;
  readonly text: string;
  readonly found: string;
}

/** One line a promise. A duplicate breaks none: the delivery is at-least-once. */
export function promisesOf(outcome: Outcome): Promised[] {
  const promise = (text: string, count: number, words: string): Promised => ({
    holds: count === 0,
    text,
    found: `${number(count)} ${words}`,
  });
  return [
    promise("every committed event arrived", outcome.missing, "missing"),
    promise("nothing that was rolled back arrived", outcome.phantom, "phantoms"),
    promise("in order per aggregate", outcome.inversions, "inversions"),
    promise("each aggregate in one partition", outcome.split, "split"),
    promise("payloads byte for byte", outcome.corrupted, "differing"),
    promise("key, topic and headers as written", outcome.misaddressed, "differing"),
    promise("the outbox is empty again", outcome.left, "rows left"),
    {
      holds: outcome.isStopClean,
      text: "the relay stopped when asked",
      found: outcome.isStopClean ? "cleanly" : "not cleanly",
    },
  ];
}

export function isKept(outcome: Outcome): boolean {
  return promisesOf(outcome).every(({ holds }) => holds);
}

export function renderOutcome(outcome: Outcome, palette: Palette): string {
  const promises = promisesOf(outcome);
  const width = Math.max(...promises.map(({ text }) => text.length));
  const { p50, p99, max } = outcome.latencyMs;
  const kept = promises.filter(({ holds }) => holds).length;
  const verdict =
    kept === promises.length
      ? palette.good(`All ${kept} promises held.`)
      : palette.bad(`${promises.length - kept} of ${promises.length} promises BROKEN.`);
  return [
    "",
    `${number(outcome.committed)} events committed, ${number(outcome.rolledBack)} more rolled back, ${number(outcome.published)} published to ${outcome.to}`,
    "",
    ...promises.map(({ holds, text, found }) =>
      [holds ? palette.good("  ✓") : palette.bad("  ✗"), text.padEnd(width), palette.faint(found)].join(" "),
    ),
    `    ${"duplicates (at-least-once allows them)".padEnd(width)} ${palette.faint(number(outcome.duplicates))}`,
    "",
    `  ${number(outcome.eventsPerSecond)} events/s over ${(outcome.elapsedMs / 1000).toFixed(1)} s`,
    `  commit to receipt: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms`,
    palette.faint(
      "  (writers ran at full speed on this same machine: this includes the backlog and open transactions)",
    ),
    ...Object.entries(outcome.examples).map(([kind, eventId]) =>
      palette.bad(`  first ${kind}: event ${eventId}`),
    ),
    palette.faint(`  seed ${outcome.seed}`),
    "",
    verdict,
    "",
  ].join("\n");
}

/** The one object that `--json` ends with. */
export function jsonOutcome(outcome: Outcome): string {
  const { examples, ...figures } = outcome;
  return JSON.stringify({ ...figures, ...(isKept(outcome) ? undefined : { examples }) });
}
