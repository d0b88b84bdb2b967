/**
 * What transactions that stay open after their insert cost everybody else's events: the relay with its fence as
 * it is and narrowed, beside the obvious loop, which has no fence and no order either.
 */

import { type Quantiles, rounded } from "../../src/foundation/figures.ts";
import type { Verdict } from "../support/order.ts";
import { type Holding, HoldingWriters } from "./holding-writers.ts";
import { type Carrier, measureLatency } from "./latency-run.ts";
import type { BenchOptions } from "./options.ts";
import { carryWithLoop } from "./reference-run.ts";
import { carryWithRelay } from "./relay-run.ts";
import type { Place, Stage } from "./stage.ts";
import { alternate } from "./turns.ts";
import { type Say, warmUp } from "./warm-up.ts";

export const openWriterSides = ["relay", "narrowed", "loop"] as const;
export type OpenWriterSide = (typeof openWriterSides)[number];

export interface OpenWritersBench {
  readonly holding: Holding;
  readonly eventsPerSecond: number;
  readonly eventsPerTransaction: number;
  /** Of events whose aggregates no open transaction touches; of each round, in milliseconds. */
  readonly untouchedMs: Readonly<Record<OpenWriterSide, readonly Quantiles[]>>;
  /** Of the events of those who hold their transactions open, all rounds together. */
  readonly held: Readonly<Record<OpenWriterSide, Verdict & { readonly events: number }>>;
  readonly rounds: number;
}

const relay = (place: Place): Carrier => carryWithRelay(place, "at-least-once");
const carriers = { relay, narrowed: relay, loop: carryWithLoop } as const;

export async function benchOpenWriters(
  stage: Stage,
  options: BenchOptions,
  say: Say,
): Promise<OpenWritersBench> {
  const { rate, rounds, aggregates, eventsPerTransaction } = options;
  const holding: Holding = { writers: options.writers, aggregates, holdMs: options.holdMs };
  const plain = await stage.fill({ ...options, events: 0 });
  const narrowed = await stage.fill({ ...options, events: 0 }, { narrowFence: true });
  const templates = { relay: plain, narrowed, loop: plain } as const;
  const untouchedMs = each((): Quantiles[] => []);
  const verdicts = each((): (Verdict & { readonly events: number })[] => []);
  const load = { ...options, eventsPerSecond: rate };
  await warmUp(stage, say, plain, load, relay);
  for (let round = 0; round < rounds; round += 1) {
    for (const side of alternate(openWriterSides, round)) {
      const { ms, verdict } = await stage.within(templates[side], async (place) => {
        const company = new HoldingWriters(place, holding);
        const figures = await measureLatency(place, load, () => carriers[side](place), company);
        return { ...figures, verdict: await company.judge() };
      });
      untouchedMs[side].push(ms);
      verdicts[side].push(verdict);
      say(
        `round ${round + 1}: ${side}: p50 ${ms.p50}, p99 ${ms.p99} ms; of ${verdict.events} events held open ${verdict.inversions} out of order`,
      );
    }
  }
  const held = each((side) => verdicts[side].reduce(sumOf));
  return { holding, eventsPerSecond: rounded(rate), eventsPerTransaction, untouchedMs, held, rounds };
}

function each<T>(make: (side: OpenWriterSide) => T): Record<OpenWriterSide, T> {
  return { relay: make("relay"), narrowed: make("narrowed"), loop: make("loop") };
}

function sumOf(a: Verdict & { readonly events: number }, b: Verdict & { readonly events: number }) {
  return {
    events: a.events + b.events,
    missing: a.missing + b.missing,
    phantom: a.phantom + b.phantom,
    inversions: a.inversions + b.inversions,
    duplicates: a.duplicates + b.duplicates,
  };
}
