/**
 * How far each shard has been claimed. A cursor is a hint that keeps a claim from walking over the
 * dead index entries of deleted rows; a sweep looks behind all of them, so nothing is lost by a wrong one.
 *
 * A shard that was read to its end moves up to its fence itself, because nothing can appear below
 * it; a shard that was cut moves up to its last event.
 */
import type { OutboxEvent } from "../event/event.ts";
import { beginning, type Micros, microsOfIso, type Position, startOf } from "../event/position.ts";
import { allShards, type ShardCursor } from "../event/shard.ts";
import { type Fence, fenceOf } from "../outbox/fence.ts";
import type { Claim, ClaimRange } from "../outbox/outbox.ts";
import { boundless, type Horizon, nextHorizon } from "./horizon.ts";

export interface ClaimPlan {
  /** In the order of the visit; without the shards of which nothing may be claimed, or nothing yet. */
  readonly ranges: readonly ClaimRange[];
  /** Some shard ends before its fence, because the others have to follow first. */
  readonly isBounded: boolean;
  readonly eventsPerShardMax: number;
}

/** A position with its instant worked out once: an idle relay compares 64 of them at every poll. */
interface Mark extends Position {
  readonly at: Micros;
}

const markOf = ({ createdAt, seq }: Position): Mark => ({ createdAt, seq, at: microsOfIso(createdAt) });

const fenceMark = (fence: Micros): Mark => ({ ...startOf(fence), at: fence });

function isBelow(a: Mark, b: Mark): boolean {
  return a.at === b.at ? BigInt(a.seq) < BigInt(b.seq) : a.at < b.at;
}

export class Cursors {
  readonly #positions = new Map<number, Mark>();
  /** Where each shard's cursor stood at its highest: what appears below is late. */
  readonly #highWater = new Map<number, Mark>();
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
  }

  /** Whether the last claim left rows behind that stood below the fence, or may have. */
  get isCrowded(): boolean {
    return this.#crowd > 0 || this.#horizon !== boundless;
  }

  plan(eventsMax: number, fence: Fence): ClaimPlan {
    const ranges: ClaimRange[] = [];
    const horizon = this.#horizon.at;
    let isBounded = false;
    for (const shard of this.#order) {
      const below = fenceOf(fence, shard);
      if (below === Number.NEGATIVE_INFINITY) continue;
      if (horizon < below) isBounded = true;
      const position = this.#positions.get(shard);
      if (position !== undefined && position.at >= horizon) continue;
      // Named one by one: spreading 64 of them at every poll took a tenth of a millisecond.
      const { createdAt, seq } = position ?? beginning;
      ranges.push({ shard, createdAt, seq, fence: Math.min(below, horizon) });
    }
    return {
      ranges,
      isBounded,
      eventsPerShardMax: Math.ceil(eventsMax / Math.max(1, Math.min(this.#crowd, ranges.length))),
    };
  }

  /** Moves the cursors over what was claimed. Returns how many of the events had appeared late. */
  advance(plan: ClaimPlan, claim: Claim): number {
    const lastOf = new Map<number, OutboxEvent>();
    const countOf = new Map<number, number>();
    const lateOf = new Map<number, number>();
    for (const event of claim.events) {
      const count = countOf.get(event.shard) ?? 0;
      // In order inside a shard: behind the first event that is in time no other can be late.
      if (count === (lateOf.get(event.shard) ?? 0) && this.#isLate(event)) lateOf.set(event.shard, count + 1);
      lastOf.set(event.shard, event);
      countOf.set(event.shard, count + 1);
    }
    const cutAt = claim.isCut ? claim.events.at(-1)?.shard : undefined;
    // Nearly always one fence for all of them.
    let end: Mark | undefined;
    const passedAt = new Map((claim.passed ?? []).map((cursor) => [cursor.shard, cursor]));
    let hasVisited = true;
    let crowd = 0;
    for (const { shard, fence } of plan.ranges) {
      const isFull = (countOf.get(shard) ?? 0) >= plan.eventsPerShardMax;
      // Where a claim ended among blocked rows: neither full nor at the end of the shard.
      const passed = passedAt.get(shard);
      if (!hasVisited || isFull || shard === cutAt || passed !== undefined) crowd += 1;
      if (hasVisited) {
        const last = isFull || shard === cutAt ? lastOf.get(shard) : passed;
        if (end?.at !== fence) end = fenceMark(fence);
        this.#raise(shard, last === undefined ? end : markOf(last));
      }
      if (shard === cutAt) hasVisited = false;
    }
    this.#crowd = crowd;
    this.#rotate(cutAt);
    // Nobody has to wait: then the order of the numbers, which costs PostgreSQL least.
    const [first = 0] = this.#order;
    if (crowd === 0 && first > (this.#order.at(-1) ?? 0))
      this.#order = [...this.#order].sort((a, b) => a - b);
    this.#moveHorizon(plan);
    return [...lateOf.values()].reduce((sum, count) => sum + count, 0);
  }

  #moveHorizon({ ranges, isBounded }: ClaimPlan): void {
    const isCrowded = this.#crowd > 0;
    // Nearly always: neither is there a backlog, nor was there one.
    if (!isCrowded && !isBounded) {
      this.#horizon = boundless;
      return;
    }
    const horizon = this.#horizon.at;
    const fences = new Map(ranges.map(({ shard, fence }) => [shard, fence]));
    const reached = this.#order.flatMap((shard) => {
      const at = this.#positions.get(shard)?.at ?? Number.NEGATIVE_INFINITY;
      const fence = fences.get(shard) ?? Number.NEGATIVE_INFINITY;
      // One that stands at its own fence has to wait for its writers, and nobody for it.
      return at < fence || at >= horizon ? [at] : [];
    });
    const shards = this.#order.length;
    this.#horizon = nextHorizon(this.#horizon, { shards, reached, isCrowded, isBounded });
  }

  #isLate(event: OutboxEvent): boolean {
    const mark = this.#highWater.get(event.shard);
    return mark !== undefined && isBelow(markOf(event), mark);
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
    if (cutAt === undefined) return;
    const next = this.#order.indexOf(cutAt) + 1;
    this.#order = [...this.#order.slice(next), ...this.#order.slice(0, next)];
  }

  /** Claim this shard again from just before `position`: an aggregate came out of its block there. */
  rewind(shard: number, position: Position): void {
    this.#lower(this.#positions, shard, position);
    this.#lower(this.#highWater, shard, position);
  }

  #lower(marks: Map<number, Mark>, shard: number, { createdAt, seq }: Position): void {
    const before = markOf({ createdAt, seq: String(BigInt(seq) - 1n) });
    const current = marks.get(shard);
    if (current !== undefined && isBelow(before, current)) marks.set(shard, before);
  }

  /** The shards that have been claimed from, each with how far. */
  get passed(): readonly ShardCursor[] {
    return [...this.#positions].map(([shard, { createdAt, seq }]) => ({ shard, createdAt, seq }));
  }

  /** Claim this shard again from just before `position`, where a row was found; it counts as late. */
  goBack(shard: number, position: Position): void {
    this.#lower(this.#positions, shard, position);
  }

  /** After an outage nothing is known any more: the database may be another one with another clock. */
  forget(): void {
    this.#positions.clear();
    this.#highWater.clear();
    this.#horizon = boundless;
  }
}
