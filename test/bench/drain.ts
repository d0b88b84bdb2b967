/** How fast a backlog goes, started cold, beside the client alone, PostgreSQL alone, and the obvious loop. */

import { median, ratioOf, rounded, type Spread, spreadOf } from "../../src/foundation/figures.ts";
import { fetchDebezium } from "./debezium.ts";
import { drainWithDebezium } from "./debezium-run.ts";
import type { BenchOptions } from "./options.ts";
import type { ReferenceKind } from "./reference.ts";
import { drainWithReference } from "./reference-run.ts";
import { type DrainFigures, drainWithRelay } from "./relay-run.ts";
import type { Place, Stage } from "./stage.ts";
import { alternate } from "./turns.ts";
import type { Say } from "./warm-up.ts";

/** Whoever the relay is held against. */
export type Other = ReferenceKind | "debezium";
type Side = "relay" | Other;
const references: readonly Other[] = ["client", "postgres", "loop"];

export interface DrainBench {
  readonly backlog: { readonly events: number; readonly aggregates: number; readonly payloadBytes: number };
  /** Of the relay: the median of all rounds. */
  readonly eventsPerSecond: number;
  /** The relay's pace by that of each reference: medians of the ratios of each round. */
  readonly ratios: Readonly<Partial<Record<Other, number>>>;
  readonly ratioSpreads: Readonly<Partial<Record<Other, Spread>>>;
  readonly cpuMicrosPerEvent: DrainFigures["microsPerEvent"];
  /** The same of each reference; `process` is its own. */
  readonly referenceCpuMicrosPerEvent: Readonly<Partial<Record<Other, Readonly<Record<string, number>>>>>;
  readonly pace: Readonly<Partial<Record<Side, Spread>>>;
  /** Of the middle eight tenths of a drain, where it was watched. */
  readonly steadyPace: Readonly<Partial<Record<Side, Spread>>>;
  readonly rounds: number;
}

interface Run {
  readonly eventsPerSecond: number;
  readonly steadyEventsPerSecond?: number;
  readonly microsPerEvent: Readonly<Record<string, number>>;
}

/** The relay's default, said aloud. */
const batchEventsMax = 2_000;

export async function benchDrain(stage: Stage, options: BenchOptions, say: Say): Promise<DrainBench> {
  const others: readonly Other[] = options.isWithPeers ? [...references, "debezium"] : references;
  if (options.isWithPeers) await fetchDebezium(say);
  const template = await stage.fill(options);
  const empty = await stage.fill({ ...options, events: 0 });
  const run = (side: Side): Promise<Run> =>
    stage.within(side === "debezium" ? empty : template, (place) => drainWith(side, stage, place, options));
  await run("relay");
  const sides: readonly Side[] = ["relay", ...others];
  const runs = new Map<Side, Run[]>(sides.map((side) => [side, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    for (const side of alternate(sides, round)) {
      const figures = await run(side);
      runs.get(side)?.push(figures);
      const cost = Object.entries(figures.microsPerEvent).map(
        ([part, micros]) => `${part} ${rounded(micros, 1)}`,
      );
      say(
        `round ${round + 1}: ${side}: ${rounded(figures.eventsPerSecond)} events/s; µs an event: ${cost.join(", ")}`,
      );
    }
  }
  return summarize(options, others, runs);
}

function drainWith(side: Side, stage: Stage, place: Place, options: BenchOptions): Promise<Run> {
  if (side === "relay")
    return drainWithRelay(stage, place, options, { delivery: "at-least-once", batchEventsMax });
  if (side === "debezium") return drainWithDebezium(stage, place, options);
  return drainWithReference(stage, place, options, side);
}

function summarize(
  { events, aggregates, payloadBytes, rounds }: BenchOptions,
  others: readonly Other[],
  runs: ReadonlyMap<Side, readonly Run[]>,
): DrainBench {
  const paceOf = (side: Side) => (runs.get(side) ?? []).map(({ eventsPerSecond }) => eventsPerSecond);
  const steadyOf = (side: Side) =>
    (runs.get(side) ?? []).map(({ steadyEventsPerSecond = Number.NaN }) => steadyEventsPerSecond);
  const costOf = (side: Side, part: string) =>
    rounded(
      median((runs.get(side) ?? []).map(({ microsPerEvent }) => microsPerEvent[part] ?? Number.NaN)),
      1,
    );
  const spreads = keyed(others, (side) => ratioOf(paceOf("relay"), paceOf(side)));
  const sides: readonly Side[] = ["relay", ...others];
  return {
    backlog: { events, aggregates, payloadBytes },
    eventsPerSecond: rounded(median(paceOf("relay"))),
    ratios: keyed(others, (side) => spreads[side].median),
    ratioSpreads: spreads,
    cpuMicrosPerEvent: {
      relay: costOf("relay", "relay"),
      postgres: costOf("relay", "postgres"),
      kafka: costOf("relay", "kafka"),
    },
    referenceCpuMicrosPerEvent: keyed(others, (side) =>
      keyed(["process", "postgres", "kafka"], (part) => costOf(side, part)),
    ),
    pace: keyed(sides, (side) => spreadOf(paceOf(side))),
    steadyPace: keyed(
      sides.filter((side) => side === "relay" || side === "debezium"),
      (side) => spreadOf(steadyOf(side)),
    ),
    rounds,
  };
}

function keyed<K extends string, V>(names: readonly K[], make: (name: K) => V): Record<K, V> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<K, V>;
}
