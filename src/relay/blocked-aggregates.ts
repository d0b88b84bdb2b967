/**
 * The aggregates that wait behind a rejected event: who, since which event, until when; and what is
 * written down about them, so that counts survive a restart and a takeover.
 *
 * What was written down is a memory, not a block. A relay that takes a shard claims it from the
 * beginning like any other and meets the rejected event in its place; only the count goes on where it
 * was. Trusting the written position instead would skip whatever stands before it and was not removed.
 */
import type { Rejection } from "../event/delivery.ts";
import type { Clock } from "../foundation/clock.ts";
import type { BlockRecord, RejectionLedger } from "../outbox/dead-letter-channel.ts";
import type { Announcements } from "./announcements.ts";
import { type Block, type BlockPolicy, block } from "./verdict.ts";

export interface BlockParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly announcements: Announcements;
  readonly ledger: RejectionLedger;
}

export class BlockedAggregates {
  readonly #parts: BlockParts;
  readonly #policy: BlockPolicy;
  readonly #blocks = new Map<string, Block>();
  /** What was written down before the shard was ours, of aggregates that are not blocked (yet). */
  readonly #remembered = new Map<string, BlockRecord>();
  #shards: ReadonlySet<number> = new Set();
  /** Shards whose written blocks are still to be read. */
  readonly #unread = new Set<number>();
  /** Aggregates whose block is newer than what is written. */
  readonly #unsaved = new Set<string>();
  /** Events whose written block has to go. */
  readonly #outdated = new Set<string>();

  constructor(parts: BlockParts, policy: BlockPolicy) {
    this.#parts = parts;
    this.#policy = policy;
  }

  get size(): number {
    return this.#blocks.size;
  }

  get ids(): string[] {
    return [...this.#blocks.keys()];
  }

  has = (aggregateId: string): boolean => this.#blocks.has(aggregateId);

  add(rejection: Rejection): void {
    const { aggregateId } = rejection.event;
    const { clock, random, announcements } = this.#parts;
    const nowMs = clock.monotonicMs();
    const previous = this.#blocks.get(aggregateId) ?? this.#remembered.get(aggregateId);
    const made = block(rejection, previous, nowMs, this.#policy, random);
    if (previous !== undefined && previous.eventId !== made.eventId) this.#outdated.add(previous.eventId);
    this.#remembered.delete(aggregateId);
    this.#blocks.set(aggregateId, made);
    this.#unsaved.add(aggregateId);
    this.#outdated.delete(made.eventId);
    announcements.announce({
      type: "aggregate-blocked",
      aggregateId,
      eventId: made.eventId,
      reason: made.reason,
      message: made.message,
      attempts: made.attempts,
      retryInMs: made.retryAtMs - nowMs,
    });
  }

  /** The blocks whose wait is over, at most `count`, the one that waits longest first. */
  due(count: number): Block[] {
    const nowMs = this.#parts.clock.monotonicMs();
    return [...this.#blocks.values()]
      .filter(({ retryAtMs }) => retryAtMs <= nowMs)
      .sort((a, b) => a.retryAtMs - b.retryAtMs)
      .slice(0, count);
  }

  /**
   * From now on these shards. Blocks of shards that are somebody else's, or were and may have changed,
   * are forgotten here and stay written; what is written about new shards is read at the next `sync`.
   */
  own(kept: ReadonlySet<number>, all: ReadonlySet<number>): void {
    for (const [aggregateId, { shard }] of this.#blocks) {
      if (kept.has(shard)) continue;
      this.#blocks.delete(aggregateId);
      this.#unsaved.delete(aggregateId);
    }
    for (const [aggregateId, { shard }] of this.#remembered)
      if (!kept.has(shard)) this.#remembered.delete(aggregateId);
    this.#shards = all;
    for (const shard of this.#unread) if (!all.has(shard)) this.#unread.delete(shard);
    for (const shard of all) if (!kept.has(shard)) this.#unread.add(shard);
  }

  /** Reads memories again at the next `sync`: those of events that have gone since disappear. */
  refresh(): void {
    for (const { shard } of this.#remembered.values()) if (this.#shards.has(shard)) this.#unread.add(shard);
  }

  free(aggregateId: string): void {
    const freed = this.#blocks.get(aggregateId);
    if (freed === undefined) return;
    this.#blocks.delete(aggregateId);
    this.#unsaved.delete(aggregateId);
    this.#outdated.add(freed.eventId);
    this.#parts.announcements.announce({
      type: "aggregate-unblocked",
      aggregateId,
      attempts: freed.attempts,
    });
  }

  /**
   * Brings memory and table into step. A call that fails loses nothing: the next one does it again, and
   * writing a block twice is writing it once.
   */
  async sync(): Promise<void> {
    const { ledger } = this.#parts;
    const unsaved = [...this.#unsaved].flatMap((aggregateId) => this.#blocks.get(aggregateId) ?? []);
    if (unsaved.length > 0) {
      await ledger.remember(unsaved.map(({ position, ...rest }) => ({ ...rest, ...position })));
      // A block that was renewed meanwhile is another object, and still to be saved.
      for (const saved of unsaved)
        if (this.#blocks.get(saved.aggregateId) === saved) this.#unsaved.delete(saved.aggregateId);
    }
    const outdated = [...this.#outdated];
    if (outdated.length > 0) {
      await ledger.forget(outdated);
      for (const eventId of outdated) this.#outdated.delete(eventId);
    }
    if (this.#unread.size > 0) await this.#read([...this.#unread]);
  }

  async #read(shards: readonly number[]): Promise<void> {
    const written = await this.#parts.ledger.load(shards);
    const read = new Set(shards);
    for (const [aggregateId, { shard }] of this.#remembered)
      if (read.has(shard)) this.#remembered.delete(aggregateId);
    for (const record of written) {
      if (!this.#blocks.has(record.aggregateId)) this.#remembered.set(record.aggregateId, record);
    }
    for (const shard of shards) this.#unread.delete(shard);
  }
}
