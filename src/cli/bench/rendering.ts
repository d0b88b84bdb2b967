/** The figures of a bench as a table: pure. */
import { ratioOf, type Spread, spreadOf } from "../../foundation/figures.ts";
import type { BenchFigures, Side, Turn } from "./bench-run.ts";

const widths = [22, 26, 26, 24] as const;

export function renderBench({
  events,
  bytes,
  aggregates,
  rate,
  seconds,
  rounds,
  turns,
}: BenchFigures): string {
  const column = (side: Side, pick: (turn: Turn) => number) => turns[side].map(pick);
  const row = (name: string, digits: number, pick: (turn: Turn) => number) =>
    line([
      name,
      text(spreadOf(column("relay", pick), digits)),
      text(spreadOf(column("loop", pick), digits)),
      text(ratioOf(column("relay", pick), column("loop", pick))),
    ]);
  return [
    `${events} events of ${bytes} bytes over ${aggregates} aggregates as a backlog, then ${rate} a second for ${seconds} s;`,
    `${rounds} rounds, turn by turn: median (lowest to highest). The loop keeps no order among open transactions.`,
    "",
    line(["", "relay", "loop", "relay by loop"]),
    row("backlog, events/s", 0, ({ eventsPerSecond }) => eventsPerSecond),
    row("latency p50, ms", 1, ({ latencyMs }) => latencyMs.p50),
    row("latency p95, ms", 1, ({ latencyMs }) => latencyMs.p95),
    row("latency p99, ms", 1, ({ latencyMs }) => latencyMs.p99),
    row("latency max, ms", 1, ({ latencyMs }) => latencyMs.max),
    "",
  ].join("\n");
}

function text({ median, min, max }: Spread): string {
  return min === max ? String(median) : `${median} (${min} to ${max})`;
}

function line(cells: readonly string[]): string {
  return cells
    .map((cell, at) => cell.padEnd(widths[at] ?? 0))
    .join("")
    .trimEnd();
}
