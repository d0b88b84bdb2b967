/**
 * How far each shard has been claimed. A cursor is a hint that keeps a claim from walking over the
 * dead index entries of deleted rows; a sweep looks behind all of them, so nothing is lost by a wrong one.
 *
 * A shard that was read to its end moves up to the fence itself, because nothing can appear below
 * it; a shard that was cut moves up to its last event. Slots that are held back stay behind: laggards.ts.
 */
import type { OutboxEvent } from "../event/event.ts";
import { beginning, microsOfIso, type Position } from "../event/position.ts";
import { allShards, type ShardCursor } from "../event/shard.ts";
import type { Fence } from "../outbox/fence.ts";
import type { Claim, ClaimRange } from "../outbox/outbox.ts";
import { type ClaimPlan, isOfSlot, type Visit, visitsOf } from "./claim-plan.ts";
import { boundless, type Horizon, nextHorizon } from "./horizon.ts";
import { Laggards, type Move } from "./laggards.ts";
import { fenceMark, higherOf, isBelow, type Mark, markOf } from "./marks.ts";

export interface Advanced {
  /** What may be published: all that was claimed, but for slots that are held back or lag. */
  readonly events: readonly OutboxEvent[];
  /** How many of them had appeared late. */
  readonly late: number;
  /** Some shard ended before its fence, because the others have to follow first. */
  readonly isBounded: boolean;
  /** Slots that lag may be claimed of. */
  readonly isBehind: boolean;
}

export class Cursors {
  readonly #positions = new Map<number, Mark>();
  /** Where each shard's cursor stood at its highest: what appears below is late. */
  readonly #highWater = new Map<number, Mark>();
  readonly #laggards = new Laggards();
  #order: readonly number[] = [];
  /** How many shards seem to have more than their share; the batch is divided among them. */
  #crowd = 1;
  #horizon: Horizon = boundless;

  /** From now on these shards; one that is new begins at the beginning, one that is gone is forgotten. */
  own(shards: ReadonlySet<number>): void {
    this.#order = allShards.filter((shard) => shards.has(shard));
    this.#crowd = 1;
    this.#horizon = boundless;
    for (const marks of [this.#positions, this.#highWater]) {
      for (const shard of marks.keys()) if (!shards.has(shard)) marks.delete(shard);
    }
    this.#laggards.keepShards(shards);
  }

  /** Whether the last claim left rows behind that stood below the fence, or may have. */
  get isCrowded(): boolean {
    return this.#crowd > 0 || this.#horizon !== boundless;
  }

  /** `fence.open` may be infinite where the claim does not know it yet. */
  plan(eventsMax: number, fence: Fence): ClaimPlan {
    const ranges: ClaimRange[] = [];
    const horizon = this.#horizon.at;
    const below = Math.min(fence.open, horizon);
    const hasLaggards = !this.#laggards.isEmpty;
    for (const shard of fence.open === Number.NEGATIVE_INFINITY ? [] : this.#order) {
      const position = this.#positions.get(shard);
      if (hasLaggards && position !== undefined)
        ranges.push(...this.#laggards.rangesOf(shard, position, fence));
      if (position !== undefined && position.at >= horizon) continue;
      // Named one by one: spreading 64 of them at every poll took a tenth of a millisecond.
      const { createdAt, seq } = position ?? beginning;
      ranges.push({ shard, createdAt, seq, fence: below });
    }
    return {
      ranges,
      eventsPerShardMax: Math.ceil(eventsMax / Math.max(1, Math.min(this.#crowd, ranges.length))),
    };
  }

  /** Moves the cursors over what was claimed, and says what of it may be published below this fence. */
  advance(plan: ClaimPlan, claim: Claim, fence: Fence): Advanced {
    const isNarrow = fence.held.size > 0 || !this.#laggards.isEmpty;
    const isBounded = this.#horizon.at < fence.open && this.#order.length > 0;
    const visits = visitsOf(plan, claim);
    const late = this.#countLate(visits, claim.events);
    const events = isNarrow ? this.#sift(visits, claim.events, fence) : claim.events;
    const moves = this.#move(visits, fence);
    if (isNarrow) this.#laggards.leave(moves, fence);
    this.#crowd = visits.filter(({ isVisited, stop }) => !isVisited || stop !== undefined).length;
    this.#rotate(visits.find(({ isCut }) => isCut)?.range.shard);
    this.#moveHorizon(plan, fence, isBounded);
    return { events, late, isBounded, isBehind: isNarrow && this.#laggards.canFollow(fence) };
  }

  /** What may be published; slots that lag are caught up with on the way, before the rows of their shards. */
  #sift(visits: readonly Visit[], events: readonly OutboxEvent[], fence: Fence): OutboxEvent[] {
    const kept: OutboxEvent[] = [];
    for (const { range, first, next, stop, isVisited } of visits) {
      const shardAt = this.#positions.get(range.shard);
      const end =
        isOfSlot(range) && isVisited && shardAt !== undefined
          ? this.#laggards.catchUp(range, stop, shardAt, fence)
          : undefined;
      for (const event of events.slice(first, next)) {
        const mayPass =
          end === undefined ? this.#laggards.mayPass(event, fence) : !(microsOfIso(event.createdAt) >= end);
        if (mayPass) kept.push(event);
      }
    }
    return kept;
  }

  #move(visits: readonly Visit[], fence: Fence): Map<number, Move> {
    const moves = new Map<number, Move>();
    // Nearly always one fence for all of them.
    let end: Mark | undefined;
    for (const { range, stop, isVisited } of visits) {
      if (isOfSlot(range) || !isVisited) continue;
      const below = Math.min(range.fence, fence.open);
      if (below === Number.NEGATIVE_INFINITY) continue;
      if (end?.at !== below) end = fenceMark(below);
      const from = this.#positions.get(range.shard);
      this.#raise(range.shard, stop ?? end);
      if (fence.held.size > 0) moves.set(range.shard, { from, to: higherOf(from, stop ?? end) });
    }
    return moves;
  }

  /** In order inside a shard: behind the first event that is in time no other can be late. */
  #countLate(visits: readonly Visit[], events: readonly OutboxEvent[]): number {
    let late = 0;
    for (const { range, first, next } of visits) {
      const mark = this.#highWater.get(range.shard);
      if (isOfSlot(range) || mark === undefined) continue;
      let at = first;
      while (at < next && isBelow(markOf(events[at] as OutboxEvent), mark)) at += 1;
      late += at - first;
    }
    return late;
  }

  #moveHorizon({ ranges }: ClaimPlan, { open }: Fence, isBounded: boolean): void {
    const isCrowded = this.#crowd > 0;
    // Nearly always: neither is there a backlog, nor was there one.
    if (!isCrowded && !isBounded) {
      this.#horizon = boundless;
      return;
    }
    const horizon = this.#horizon.at;
    const asked = new Set(ranges.map(({ shard }) => shard));
    const fence = Math.min(open, horizon);
    const reached = this.#order.flatMap((shard) => {
      const at = this.#positions.get(shard)?.at ?? Number.NEGATIVE_INFINITY;
      // One that stands at the fence has to wait for writers, and nobody for it.
      return (asked.has(shard) && at < fence) || at >= horizon ? [at] : [];
    });
    const shards = this.#order.length;
    this.#horizon = nextHorizon(this.#horizon, { shards, reached, isCrowded, isBounded });
  }

  #raise(shard: number, to: Mark): void {
    // Should the database's clock step back, a cursor stays; the sweep finds what it passed over.
    const current = this.#positions.get(shard);
    if (current === undefined || isBelow(current, to)) this.#positions.set(shard, to);
    const mark = this.#highWater.get(shard);
    if (mark === undefined || isBelow(mark, to)) this.#highWater.set(shard, to);
  }

  /** The shard that filled a batch comes last in the next one. */
  #rotate(cutAt: number | undefined): void {
    const [first = 0] = this.#order;
    // Nobody has to wait: then the order of the numbers, which costs PostgreSQL least.
    if (this.#crowd === 0 && first > (this.#order.at(-1) ?? 0))
      this.#order = [...this.#order].sort((a, b) => a - b);
    if (cutAt === undefined) return;
    const next = this.#order.indexOf(cutAt) + 1;
    this.#order = [...this.#order.slice(next), ...this.#order.slice(0, next)];
  }

  /** Claim this shard again from just before `position`: an aggregate came out of its block there. */
  rewind(shard: number, position: Position): void {
    this.goBack(shard, position);
    lower(this.#highWater, shard, position);
  }

  /** The shards that have been claimed from, each with how far all of its slots have. */
  get passed(): readonly ShardCursor[] {
    return [...this.#positions].map(([shard, position]) => {
      const { createdAt, seq } = this.#laggards.lowestOf(shard, position);
      return { shard, createdAt, seq };
    });
  }

  /** Claim this shard again from just before `position`, where a row was found; it counts as late. */
  goBack(shard: number, position: Position): void {
    lower(this.#positions, shard, position);
    const current = this.#positions.get(shard);
    if (current !== undefined) this.#laggards.goBack(shard, current);
  }

  /** After an outage nothing is known any more: the database may be another one with another clock. */
  forget(): void {
    this.#positions.clear();
    this.#highWater.clear();
    this.#laggards.forget();
    this.#horizon = boundless;
  }
}

function lower(marks: Map<number, Mark>, shard: number, { createdAt, seq }: Position): void {
  const before = markOf({ createdAt, seq: String(BigInt(seq) - 1n) });
  const current = marks.get(shard);
  if (current !== undefined && isBelow(before, current)) marks.set(shard, before);
}
