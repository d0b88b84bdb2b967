/** How fast a backlog goes, started cold, beside the client alone, PostgreSQL alone, and the obvious loop. */
import type { Say } from "./exactly-once.ts";
import { median, ratioOf, rounded, type Spread, spreadOf } from "./figures.ts";
import type { BenchOptions } from "./options.ts";
import type { ReferenceKind } from "./reference.ts";
import { drainWithReference } from "./reference-run.ts";
import { type DrainFigures, drainWithRelay } from "./relay-run.ts";
import type { Stage } from "./stage.ts";
import { alternate } from "./turns.ts";

const references = ["client", "postgres", "loop"] as const;
type Side = "relay" | ReferenceKind;
const sides: readonly Side[] = ["relay", ...references];

export interface DrainBench {
  readonly backlog: { readonly events: number; readonly aggregates: number; readonly payloadBytes: number };
  /** Of the relay: the median of all rounds. */
  readonly eventsPerSecond: number;
  /** The relay's pace by that of each reference: medians of the ratios of each round. */
  readonly ratios: Readonly<Record<ReferenceKind, number>>;
  readonly ratioSpreads: Readonly<Record<ReferenceKind, Spread>>;
  readonly cpuMicrosPerEvent: DrainFigures["microsPerEvent"];
  /** The same of each reference; `process` is its own. */
  readonly referenceCpuMicrosPerEvent: Readonly<Record<ReferenceKind, Readonly<Record<string, number>>>>;
  readonly pace: Readonly<Record<Side, Spread>>;
  readonly rounds: number;
}

interface Run {
  readonly eventsPerSecond: number;
  readonly micros: Readonly<Record<string, number>>;
}

/** The relay's default, said aloud. */
const batchEventsMax = 2_000;

export async function benchDrain(stage: Stage, options: BenchOptions, say: Say): Promise<DrainBench> {
  const template = await stage.fill(options);
  const run = (side: Side): Promise<Run> =>
    stage.within(template, async (place) => {
      const { eventsPerSecond, microsPerEvent } =
        side === "relay"
          ? await drainWithRelay(stage, place, options, { delivery: "at-least-once", batchEventsMax })
          : await drainWithReference(stage, place, options, side);
      return { eventsPerSecond, micros: { ...microsPerEvent } };
    });
  await run("relay");
  const runs = new Map<Side, Run[]>(sides.map((side) => [side, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    for (const side of alternate(sides, round)) {
      const figures = await run(side);
      runs.get(side)?.push(figures);
      say(`round ${round + 1}: ${side}: ${rounded(figures.eventsPerSecond)} events/s`);
    }
  }
  return summarize(options, runs);
}

function summarize(options: BenchOptions, runs: ReadonlyMap<Side, readonly Run[]>): DrainBench {
  const paceOf = (side: Side) => (runs.get(side) ?? []).map(({ eventsPerSecond }) => eventsPerSecond);
  const costOf = (side: Side, part: string) =>
    rounded(median((runs.get(side) ?? []).map(({ micros }) => micros[part] ?? Number.NaN)), 1);
  const spreads = keyed(references, (side) => ratioOf(paceOf("relay"), paceOf(side)));
  const { events, aggregates, payloadBytes, rounds } = options;
  return {
    backlog: { events, aggregates, payloadBytes },
    eventsPerSecond: rounded(median(paceOf("relay"))),
    ratios: keyed(references, (side) => spreads[side].median),
    ratioSpreads: spreads,
    cpuMicrosPerEvent: {
      relay: costOf("relay", "relay"),
      postgres: costOf("relay", "postgres"),
      kafka: costOf("relay", "kafka"),
    },
    referenceCpuMicrosPerEvent: keyed(references, (side) =>
      keyed(["process", "postgres", "kafka"], (part) => costOf(side, part)),
    ),
    pace: keyed(sides, (side) => spreadOf(paceOf(side))),
    rounds,
  };
}

function keyed<K extends string, V>(names: readonly K[], make: (name: K) => V): Record<K, V> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<K, V>;
}
