/**
 * What exactly-once delivery costs: at-least-once beside it in the same run, turn by turn. Throughput at
 * several sizes of a batch, latency at a steady rate, and the time in which a killed relay is replaced.
 */

import {
  median,
  type Quantiles,
  ratioOf,
  rounded,
  type Spread,
  spreadOf,
} from "../../src/foundation/figures.ts";
import { type FailoverFigures, measureFailover } from "./failover-run.ts";
import { measureLatency } from "./latency-run.ts";
import type { BenchOptions } from "./options.ts";
import { carryWithRelay, type Delivery, type DrainFigures, drainWithRelay } from "./relay-run.ts";
import type { Backlog, Stage } from "./stage.ts";
import { alternate } from "./turns.ts";
import { type Say, warmUp } from "./warm-up.ts";

const modes = ["at-least-once", "exactly-once"] as const;

export interface Throughput {
  readonly batchEventsMax: number;
  readonly eventsPerSecond: Readonly<Record<string, Spread>>;
  readonly steadyEventsPerSecond: Readonly<Record<string, Spread>>;
  readonly firstBatchMs: Readonly<Record<string, Spread>>;
  readonly eventsPerBatch: Readonly<Record<string, number>>;
  readonly microsPerEvent: Readonly<Record<string, DrainFigures["microsPerEvent"]>>;
  /** Exactly-once to at-least-once: of whole drains, starts included, and of their middles. */
  readonly ratio: Spread;
  readonly steadyRatio: Spread;
}

export interface ExactlyOnceFigures {
  readonly throughput: readonly Throughput[];
  /** Of each round. */
  readonly latencyMs: Readonly<Record<string, readonly Quantiles[]>> | null;
  readonly failover: { readonly leaseTtlMs: number; readonly rounds: readonly FailoverFigures[] } | null;
}

export async function benchExactlyOnce(
  stage: Stage,
  options: BenchOptions,
  say: Say,
): Promise<ExactlyOnceFigures> {
  const isWanted = (part: string) => options.only.length === 0 || options.only.includes(part);
  const empty = await stage.fill({ ...options, events: 0 });
  // A drain has some hundreds of transactions, far fewer than it takes until the broker's code for them is compiled.
  if (isWanted("throughput") || isWanted("latency"))
    await warmUp(stage, say, empty, loadOf(options), (place) => carryWithRelay(place, "exactly-once"));
  return {
    throughput: isWanted("throughput") ? await throughput(stage, options, say) : [],
    latencyMs: isWanted("latency") ? await latency(stage, empty, options, say) : null,
    failover: isWanted("failover") ? await failover(stage, empty, options, say) : null,
  };
}

const loadOf = (options: BenchOptions) => ({ ...options, eventsPerSecond: options.rate });

async function throughput(stage: Stage, options: BenchOptions, say: Say): Promise<Throughput[]> {
  const template = await stage.fill(options);
  const drain = (delivery: Delivery, batchEventsMax: number, backlog: Backlog = options) =>
    stage.within(template, (place) => drainWithRelay(stage, place, backlog, { delivery, batchEventsMax }));
  // The first run of each also pays for code that the servers have never run.
  for (const mode of modes) await drain(mode, 1_000);
  const runs = options.batches.map((batchEventsMax) => ({
    batchEventsMax,
    figures: new Map<Delivery, DrainFigures[]>(modes.map((mode) => [mode, []])),
  }));
  for (let round = 0; round < options.rounds; round += 1) {
    for (const { batchEventsMax, figures } of runs) {
      for (const mode of alternate(modes, round)) {
        const drained = await drain(mode, batchEventsMax);
        figures.get(mode)?.push(drained);
        const pace = `${rounded(drained.eventsPerSecond)} events/s (steady ${rounded(drained.steadyEventsPerSecond)})`;
        say(`round ${round + 1}: batches of ${batchEventsMax}, ${mode}: ${pace}`);
      }
    }
  }
  return runs.map(({ batchEventsMax, figures }) => summarize(batchEventsMax, figures));
}

function summarize(batchEventsMax: number, figures: ReadonlyMap<Delivery, DrainFigures[]>): Throughput {
  const column = (mode: Delivery, pick: (figures: DrainFigures) => number) =>
    (figures.get(mode) ?? []).map(pick);
  const each = <T>(make: (mode: Delivery) => T) =>
    Object.fromEntries(modes.map((mode) => [mode, make(mode)])) as Record<Delivery, T>;
  const ratio = (pick: (figures: DrainFigures) => number) =>
    ratioOf(column("exactly-once", pick), column("at-least-once", pick));
  const cost = (mode: Delivery, part: "relay" | "postgres" | "kafka") =>
    rounded(median(column(mode, ({ microsPerEvent }) => microsPerEvent[part])), 1);
  return {
    batchEventsMax,
    eventsPerSecond: each((mode) => spreadOf(column(mode, (one) => one.eventsPerSecond))),
    steadyEventsPerSecond: each((mode) => spreadOf(column(mode, (one) => one.steadyEventsPerSecond))),
    firstBatchMs: each((mode) => spreadOf(column(mode, (one) => one.firstBatchMs))),
    eventsPerBatch: each((mode) => rounded(median(column(mode, (one) => one.eventsPerBatch)))),
    microsPerEvent: each((mode) => ({
      relay: cost(mode, "relay"),
      postgres: cost(mode, "postgres"),
      kafka: cost(mode, "kafka"),
    })),
    ratio: ratio((one) => one.eventsPerSecond),
    steadyRatio: ratio((one) => one.steadyEventsPerSecond),
  };
}

async function latency(
  stage: Stage,
  empty: string,
  options: BenchOptions,
  say: Say,
): Promise<Record<string, readonly Quantiles[]>> {
  const load = loadOf(options);
  const figures: Record<(typeof modes)[number], Quantiles[]> = { "at-least-once": [], "exactly-once": [] };
  for (let round = 0; round < options.rounds; round += 1) {
    for (const mode of alternate(modes, round)) {
      const { ms, eventsPerSecond, duplicates } = await stage.within(empty, (place) =>
        measureLatency(place, load, () => carryWithRelay(place, mode)),
      );
      if (mode === "exactly-once" && duplicates > 0)
        throw new Error(`${duplicates} events came twice to a consumer of committed records`);
      figures[mode].push(ms);
      const rate = `${rounded(eventsPerSecond)} events/s`;
      say(`round ${round + 1}: ${mode} at ${rate}: p50 ${ms.p50}, p99 ${ms.p99}, max ${ms.max} ms`);
    }
  }
  return figures;
}

async function failover(stage: Stage, empty: string, options: BenchOptions, say: Say) {
  const { leaseTtlMs } = options;
  const settings = { delivery: "exactly-once", leaseTtlMs, leaseRenewMs: leaseTtlMs / 4 } as const;
  const rounds: FailoverFigures[] = [];
  for (let kill = 0; kill < options.kills; kill += 1) {
    const figures = await stage.within(empty, (place) => measureFailover(place, settings));
    rounds.push(figures);
    say(
      `kill ${kill + 1}: first after ${figures.firstMs} ms, all ${figures.groups} groups after ${figures.allMs} ms`,
    );
  }
  return { leaseTtlMs, rounds };
}
