/**
 * The figures of the README, from what the benchmarks wrote down beside their pages in docs/bench. Written by
 * write-reference.ts, compared by a test: a page that was measured anew cannot leave an old figure behind.
 */
import { readFileSync } from "node:fs";
import { median, type Quantiles, rounded, type Spread } from "../src/foundation/figures.ts";
import type { BloatBench } from "../test/bench/bloat.ts";
import type { DrainBench } from "../test/bench/drain.ts";
import type { ExactlyOnceFigures } from "../test/bench/exactly-once.ts";
import type { LatencyBench } from "../test/bench/latency.ts";
import type { OpenWritersBench } from "../test/bench/open-writers.ts";
import type { ScaleBench } from "../test/bench/scale.ts";
import type { WritersBench } from "../test/bench/writers.ts";
import { row } from "./markdown.ts";

const read = <F>(name: string): F =>
  JSON.parse(readFileSync(new URL(`../docs/bench/${name}.json`, import.meta.url), "utf8")) as F;

/** Nothing was measured, or there is nothing to measure. */
const none = "–";

const counted = (value: number): string => value.toLocaleString("en-US");
const page = (name: string, text: string): string => `[${text}](docs/bench/${name}.md)`;
const medianOf = (all: readonly Quantiles[], key: "p50" | "p99"): number =>
  rounded(median(all.map((one) => one[key])), 1);
const sumOf = (parts: Readonly<Record<string, number>>): string =>
  rounded(
    Object.values(parts).reduce((sum, part) => sum + part, 0),
    1,
  ).toFixed(1);

const head = [
  row(
    "",
    "Outrider",
    "a loop written in an afternoon",
    "Debezium, tuned",
    "Debezium, `poll.interval.ms=10`",
    "the Kafka client alone",
  ),
  "|---|---|---|---|---|---|",
];

function besideOthers(): string[] {
  const { pace, cpuMicrosPerEvent, referenceCpuMicrosPerEvent, backlog } = read<DrainBench>("drain");
  const { steadyMs, afterIdleMs, idlePercent, eventsPerSecond } = read<LatencyBench>("latency");
  const drained = (side: keyof typeof pace) => (pace[side] ? counted((pace[side] as Spread).median) : none);
  const cost = (side: keyof typeof referenceCpuMicrosPerEvent) =>
    sumOf(referenceCpuMicrosPerEvent[side] ?? {});
  const sides = ["relay", "loop", "debezium", "thriftyDebezium"] as const;
  const steady = sides.map((side) => {
    const all = steadyMs[side] ?? [];
    return `${medianOf(all, "p50")} / ${medianOf(all, "p99")}`;
  });
  const first = sides.map((side) => String(medianOf(afterIdleMs[side] ?? [], "p99")));
  const idle = sides.map((side) => {
    const { process = Number.NaN, postgres = Number.NaN } = idlePercent.sides[side] ?? {};
    return String(rounded(process + postgres, 2));
  });
  const what = `a backlog of ${counted(backlog.events)} events of ${backlog.payloadBytes} bytes`;
  return [
    row(
      `${page("drain", what)}, events a second`,
      ...[drained("relay"), drained("loop"), drained("debezium"), none, drained("client")],
    ),
    row(
      "all processes together, µs of processor time an event",
      ...[sumOf({ ...cpuMicrosPerEvent }), cost("loop"), cost("debezium"), none, cost("client")],
    ),
    row(
      `${page("latency", "commit to consumer")} at ${counted(eventsPerSecond)} events a second, p50 / p99, ms`,
      ...steady,
      none,
    ),
    row("the first event after a pause, p99, ms", ...first, none),
    row("nothing to do: itself and its part of PostgreSQL, % of a core", ...idle, none),
  ];
}

function onceAndBloat(): string[] {
  const { throughput } = read<ExactlyOnceFigures>("exactly-once-throughput");
  const { paceRatio, seconds } = read<BloatBench>("bloat");
  const batches = throughput.map(({ batchEventsMax }) => counted(batchEventsMax)).join(" / ");
  const shares = throughput.map(({ ratio }) => ratio.median).join(" / ");
  return [
    row(
      page("exactly-once-throughput", `exactly-once, batches of ${batches}`),
      `${shares} of the pace of at-least-once`,
    ),
    row(
      page("bloat", `an old snapshot held open for ${rounded(seconds / 60)} minutes`),
      `${paceRatio.median} of the pace without it`,
    ),
  ];
}

function writersAndFence(): string[] {
  const { cases } = read<WritersBench>("writers");
  const { holding, untouchedMs } = read<OpenWritersBench>("open-writers");
  const perTransaction = cases.map(({ eventsPerTransaction }) => eventsPerTransaction).join(" / ");
  const toBare = (side: "outbox" | "narrowed") => cases.map((one) => one.toBare[side].median).join(" / ");
  const waited = (side: keyof typeof untouchedMs) =>
    `${medianOf(untouchedMs[side], "p50")} / ${medianOf(untouchedMs[side], "p99")} ms`;
  return [
    row(
      page("writers", `an event in the application's transaction, ${perTransaction} in each`),
      `${toBare("outbox")} of what it costs in a bare table; ${toBare("narrowed")} with \`--narrow-fence\``,
    ),
    row(
      page(
        "open-writers",
        `beside ${holding.writers} transactions that stay open for ${holding.holdMs} ms, events of other aggregates, p50 / p99`,
      ),
      `${waited("relay")}; with \`--narrow-fence\` ${waited("narrowed")}; ${waited("loop")} for the loop, which does not keep the order`,
    ),
  ];
}

function growth(): string[] {
  const { cases } = read<ScaleBench>("scale");
  const backlogs = cases.filter(({ name }) => name.startsWith("backlog"));
  const sizes = backlogs.map(({ backlog }) => counted(backlog.events)).join(" / ");
  const costs = backlogs.map(({ microsPerEvent: { relay, postgres } }) => sumOf({ relay, postgres }));
  const most = Math.max(...cases.map(({ peakMegabytes }) => peakMegabytes));
  return [
    row(page("scale", `backlogs of ${sizes}`), `${costs.join(" / ")} µs an event, starts included`),
    row("memory of a relay, the most in any of these", `${most} MB`),
  ];
}

function figures(): string {
  return [
    ...head,
    ...besideOthers(),
    "",
    row("", ""),
    "|---|---|",
    ...onceAndBloat(),
    ...writersAndFence(),
    ...growth(),
  ].join("\n");
}

export const benchParts: Readonly<Record<string, () => string>> = { figures };
