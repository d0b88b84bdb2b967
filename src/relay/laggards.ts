/**
 * Slots that fell behind the cursor of their shard. An open transaction holds its slots alone; the others of the
 * shard are claimed on, and the rows of a held slot that were passed over are claimed once they may be.
 *
 *     shard   ────────────────────────────────► cursor
 *     slot 7  ───────► held: its own cursor     rows in between are left to it
 *
 * What a shard's own claim brings of a slot that lags is dropped, or it would be published before the rows behind
 * it. A slot has caught up when it was read to where the shard's cursor stands, in the same claim and before the rows
 * above; from then on it goes with its shard.
 */
import type { OutboxEvent } from "../event/event.ts";
import { type Micros, microsOfIso } from "../event/position.ts";
import { shardOfSlot } from "../event/shard.ts";
import { type Fence, fenceOf } from "../outbox/fence.ts";
import type { SlotRange } from "./claim-plan.ts";
import { fenceMark, higherOf, isBelow, type Mark } from "./marks.ts";

/** From where to where a shard's cursor was moved; from nowhere when it is new. */
export interface Move {
  readonly from: Mark | undefined;
  readonly to: Mark;
}

export class Laggards {
  /** By shard, then by slot. A shard without any has no entry. */
  readonly #cursors = new Map<number, Map<number, Mark>>();

  get isEmpty(): boolean {
    return this.#cursors.size === 0;
  }

  /** What the slots of a shard may be claimed of, whose cursor stands at `shardAt`. */
  rangesOf(shard: number, shardAt: Mark, fence: Fence): SlotRange[] {
    const ranges: SlotRange[] = [];
    for (const [slot, { at, createdAt, seq }] of this.#cursors.get(shard) ?? []) {
      const reach = Math.min(fenceOf(fence, slot), shardAt.at);
      if (at < reach) ranges.push({ shard, slot, createdAt, seq, fence: reach });
    }
    return ranges;
  }

  /** A range of these was claimed, up to `stop`, or to its end without one. Returns below which its events count. */
  catchUp(
    { shard, slot, fence: reach }: SlotRange,
    stop: Mark | undefined,
    shardAt: Mark,
    fence: Fence,
  ): Micros {
    const end = Math.min(reach, fenceOf(fence, slot));
    const reached = stop !== undefined && stop.at < end ? stop : fenceMark(end);
    // Where the shard stands in the middle of an instant, the rest of that instant has not been read.
    const isThere = stop === undefined && end === shardAt.at && shardAt.seq === "0";
    if (isThere) this.#forgetSlot(shard, slot);
    else this.#set(shard, slot, higherOf(this.#cursors.get(shard)?.get(slot), reached));
    return end;
  }

  /** Whether an event that a shard's own claim brought may be published now. */
  mayPass({ shard, slot, createdAt }: OutboxEvent, fence: Fence): boolean {
    if (this.#cursors.get(shard)?.has(slot) === true) return false;
    const held = fence.held.get(slot);
    return held === undefined || !(microsOfIso(createdAt) >= held);
  }

  /** The cursors of these shards were moved: held slots stay behind. */
  leave(moves: ReadonlyMap<number, Move>, { held }: Fence): void {
    for (const [slot, instant] of held) {
      const shard = shardOfSlot(slot);
      const move = moves.get(shard);
      if (move === undefined || this.#cursors.get(shard)?.has(slot) === true) continue;
      const mark = higherOf(move.from, fenceMark(instant));
      if (isBelow(mark, move.to)) this.#set(shard, slot, mark);
    }
  }

  /** Whether one of them could be claimed of by now. */
  canFollow(fence: Fence): boolean {
    for (const slots of this.#cursors.values())
      for (const [slot, { at }] of slots) if (at < fenceOf(fence, slot)) return true;
    return false;
  }

  /** The lowest cursor of a shard, its own one included. */
  lowestOf(shard: number, shardAt: Mark): Mark {
    let lowest = shardAt;
    for (const mark of this.#cursors.get(shard)?.values() ?? []) if (isBelow(mark, lowest)) lowest = mark;
    return lowest;
  }

  /** The cursor of a shard went back: whoever stood above it goes with it again. */
  goBack(shard: number, shardAt: Mark): void {
    for (const [slot, mark] of [...(this.#cursors.get(shard) ?? [])])
      if (!isBelow(mark, shardAt)) this.#forgetSlot(shard, slot);
  }

  keepShards(shards: ReadonlySet<number>): void {
    for (const shard of this.#cursors.keys()) if (!shards.has(shard)) this.#cursors.delete(shard);
  }

  forget(): void {
    this.#cursors.clear();
  }

  #set(shard: number, slot: number, mark: Mark): void {
    const slots = this.#cursors.get(shard);
    if (slots === undefined) this.#cursors.set(shard, new Map([[slot, mark]]));
    else slots.set(slot, mark);
  }

  #forgetSlot(shard: number, slot: number): void {
    const slots = this.#cursors.get(shard);
    slots?.delete(slot);
    if (slots?.size === 0) this.#cursors.delete(shard);
  }
}
