/** From the commit to the consumer, at a steady rate and after a pause; the obvious loop beside the relay. */

import { type Quantiles, rounded } from "../../src/foundation/figures.ts";
import { fetchDebezium } from "./debezium.ts";
import { carryWithDebezium } from "./debezium-run.ts";
import { type IdleCosts, measureIdleCosts } from "./idle-cost.ts";
import { type Carrier, measureLatency } from "./latency-run.ts";
import type { BenchOptions } from "./options.ts";
import { carryWithLoop } from "./reference-run.ts";
import { carryWithRelay } from "./relay-run.ts";
import type { Place, Stage } from "./stage.ts";
import { alternate } from "./turns.ts";
import { type Say, warmUp } from "./warm-up.ts";

const carriers = {
  relay: (place: Place): Carrier => carryWithRelay(place, "at-least-once"),
  loop: carryWithLoop,
  debezium: (place: Place): Carrier => carryWithDebezium(place, "latency"),
  thriftyDebezium: (place: Place): Carrier => carryWithDebezium(place, "thrifty"),
} as const;
type Side = keyof typeof carriers;

export interface LatencyBench {
  readonly eventsPerSecond: number;
  readonly eventsPerTransaction: number;
  /** Of each round, in milliseconds. */
  readonly steadyMs: Readonly<Partial<Record<Side, readonly Quantiles[]>>>;
  readonly afterIdleMs: Readonly<Partial<Record<Side, readonly Quantiles[]>>>;
  /** Once, behind the rounds. */
  readonly idlePercent: IdleCosts<Side>;
  readonly rounds: number;
}

/** Far enough apart that every event finds an idle relay. */
const idleRate = 2;

export async function benchLatency(stage: Stage, options: BenchOptions, say: Say): Promise<LatencyBench> {
  const empty = await stage.fill({ ...options, events: 0 });
  const peers: readonly Side[] = options.isWithPeers ? ["debezium", "thriftyDebezium"] : [];
  const sides: readonly Side[] = ["relay", "loop", ...peers];
  if (options.isWithPeers) await fetchDebezium(say);
  const nothing = () => Object.fromEntries(sides.map((side): [Side, Quantiles[]] => [side, []]));
  const steadyMs: Partial<Record<Side, Quantiles[]>> = nothing();
  const afterIdleMs: Partial<Record<Side, Quantiles[]>> = nothing();
  const { rate, seconds, eventsPerTransaction, rounds } = options;
  const steady = { ...options, eventsPerSecond: rate };
  await warmUp(stage, say, empty, steady, carriers.relay);
  const sparse = { ...options, eventsPerSecond: idleRate, eventsPerTransaction: 1 };
  for (let round = 0; round < rounds; round += 1) {
    for (const side of alternate(sides, round)) {
      for (const [load, figures] of [
        [steady, steadyMs],
        [sparse, afterIdleMs],
      ] as const) {
        const { ms } = await stage.within(empty, (place) =>
          measureLatency(place, { ...load, seconds }, () => carriers[side](place)),
        );
        figures[side]?.push(ms);
        const rate = `${rounded(load.eventsPerSecond)} events/s`;
        say(`round ${round + 1}: ${side} at ${rate}: p50 ${ms.p50}, p99 ${ms.p99}, max ${ms.max} ms`);
      }
    }
  }
  const idlePercent = await measureIdleCosts(stage, empty, sides, (side, place) => carriers[side](place));
  return { eventsPerSecond: rate, eventsPerTransaction, steadyMs, afterIdleMs, idlePercent, rounds };
}
