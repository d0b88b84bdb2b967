/**
 * How far ahead of the others a shard may be claimed in a backlog: pure.
 *
 * Shards differ in size, and a batch takes about as much of each; without a bound the small ones run ahead of the
 * large ones, by half of the backlog in the end. The rows of a page were written at about the same time, whatever
 * their shards, and are then claimed at very different times: once the table is larger than the server's cache,
 * each of them has its page read, verified, dirtied and written again.
 *
 *     shard 0  ├── claimed ──────────────┤        │
 *     shard 1  ├── claimed ────────┤              │     front: seven eighths of the shards are there or further
 *     shard 2  ├── claimed ──────────────────────►│     horizon: front + some steps; a step is what the front moves
 *     shard 3  ├─ claimed ─┤     ▲ front           ▲ horizon
 *
 * The last eighth is not waited for: one aggregate with half of all events delays its own shard alone.
 */
import type { Micros } from "../event/position.ts";
import { shardCount } from "../event/shard.ts";

export interface Horizon {
  /** Nothing is claimed from here on; Infinity: no bound. */
  readonly at: Micros;
  readonly front?: { readonly at: Micros; readonly stepMicros?: number };
}

/** While there is no backlog, nothing is far away. */
export const boundless: Horizon = { at: Number.POSITIVE_INFINITY };

export interface Advance {
  /** How many shards a batch may come from. */
  readonly shards: number;
  /** Where the shards stand of which there may be more. */
  readonly reached: readonly Micros[];
  /** There was more than a claim may bring. */
  readonly isCrowded: boolean;
  /** It was the horizon that ended it, at least in one shard. */
  readonly isBounded: boolean;
}

/**
 * Steps, of about a batch each: some ten megabytes of the table at the usual sizes. A batch from a quarter of the
 * shards spans four times as much of the table, so it is a quarter of the steps; with as many as for all shards the
 * four groups of exactly-once delivery had each page of a backlog of 500 MB read seven times (128 MB of cache).
 * Four steps made a twentieth more claims than sixteen; fewer were not tried.
 */
const stepsAhead = (shards: number): number => Math.max(4, Math.ceil((16 * shards) / shardCount));
const shareNotWaitedFor = 8;
/** Three years: nothing was written in all that time, so there is nothing to keep together. */
const stepMicrosMax = 1e14;

/** The horizon for the next claim, after one that brought the shards to where they stand now. */
export function nextHorizon({ front }: Horizon, advance: Advance): Horizon {
  const { shards, reached, isCrowded, isBounded } = advance;
  if (!isCrowded && !isBounded) return boundless;
  const sorted = [...reached].sort((a, b) => a - b);
  const at = sorted[Math.floor(sorted.length / shareNotWaitedFor)];
  // Infinite, or so far from 1970 that a microsecond is lost.
  if (at === undefined || !Number.isSafeInteger(at)) return boundless;
  if (front === undefined) return { ...boundless, front: { at } };
  const stepMicros = Math.round(nextStep(front.stepMicros, at - front.at, isCrowded));
  if (stepMicros > stepMicrosMax) return boundless;
  return { at: at + stepsAhead(shards) * stepMicros, front: { at, stepMicros } };
}

/** At least one microsecond, or rows of one instant would never be reached. One strange step counts little. */
function nextStep(before: number | undefined, moved: number, isCrowded: boolean): number {
  if (before === undefined) return Math.max(1, moved);
  // A time in which little was written: it lies behind us soon.
  if (!isCrowded) return before * 4;
  return Math.max(1, before / 2, Math.min(moved, before * 2));
}
