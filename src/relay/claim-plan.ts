/** What a claim asks for, range by range, and what its answer says of each range: pure. */
import type { OutboxEvent } from "../event/event.ts";
import { microsOfIso } from "../event/position.ts";
import { invariant } from "../foundation/errors.ts";
import type { Claim, ClaimRange } from "../outbox/outbox.ts";
import { type Mark, markOf } from "./marks.ts";

export interface ClaimPlan {
  /**
   * In the order of the visit, the slots of a shard that lag before the shard itself; without the shards of which
   * nothing may be claimed, or nothing yet.
   */
  readonly ranges: readonly ClaimRange[];
  /** Of each range. */
  readonly eventsPerShardMax: number;
}

/** A range of one slot. */
export type SlotRange = ClaimRange & { readonly slot: number };

export const isOfSlot = (range: ClaimRange): range is SlotRange => range.slot !== undefined;

export interface Visit {
  readonly range: ClaimRange;
  /** Its events: from here, up to and without there. */
  readonly first: number;
  readonly next: number;
  /** Where its share, the limits of the claim or very many blocked rows ended it; unset: it was read to its end. */
  readonly stop: Mark | undefined;
  /** The limits of the claim ended in it: the ranges behind were not visited. */
  readonly isCut: boolean;
  readonly isVisited: boolean;
}

export function visitsOf({ ranges, eventsPerShardMax }: ClaimPlan, claim: Claim): Visit[] {
  const { events, passed = [] } = claim;
  let [next, isVisited] = [0, true];
  const visits = ranges.map((range) => {
    const first = next;
    next = endOf(range, events, first);
    const isCut = isVisited && claim.isCut && next > first && next === events.length;
    const isFull = isCut || next - first >= eventsPerShardMax;
    const stop = isFull
      ? events[next - 1]
      : passed.find((rows) => isWithin(range, { ...rows, slot: rows.atSlot }));
    const visit = { range, first, next, stop: stop && markOf(stop), isCut, isVisited };
    if (isCut) isVisited = false;
    return visit;
  });
  // Else a cursor would be moved over rows that nobody has looked at.
  invariant(next === events.length, "a claim is answered in the order in which it was asked");
  return visits;
}

function endOf(range: ClaimRange, events: readonly OutboxEvent[], first: number): number {
  let next = first;
  if (isOfSlot(range)) {
    while (next < events.length && isWithin(range, events[next] as OutboxEvent)) next += 1;
    return next;
  }
  // What of the shard did not belong to the ranges of its slots, which come before it.
  while (events[next]?.shard === range.shard) next += 1;
  return next;
}

/** The ranges of a shard's slots end where its own begins. */
function isWithin(
  range: ClaimRange,
  { shard, slot, createdAt }: Pick<OutboxEvent, "shard" | "slot" | "createdAt">,
) {
  if (shard !== range.shard) return false;
  if (isOfSlot(range)) return slot === range.slot && !(microsOfIso(createdAt) >= range.fence);
  return !(microsOfIso(createdAt) < microsOfIso(range.createdAt));
}
