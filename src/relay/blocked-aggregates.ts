/** The aggregates that wait behind a rejected event: who, since which event, until when. */
import type { Rejection } from "../event/delivery.ts";
import type { Clock } from "../foundation/clock.ts";
import type { Announcements } from "./announcements.ts";
import { type Block, type BlockPolicy, block } from "./verdict.ts";

export class BlockedAggregates {
  readonly #clock: Clock;
  readonly #policy: BlockPolicy;
  readonly #random: () => number;
  readonly #announcements: Announcements;
  readonly #blocks = new Map<string, Block>();

  constructor(clock: Clock, policy: BlockPolicy, random: () => number, announcements: Announcements) {
    this.#clock = clock;
    this.#policy = policy;
    this.#random = random;
    this.#announcements = announcements;
  }

  get size(): number {
    return this.#blocks.size;
  }

  get ids(): string[] {
    return [...this.#blocks.keys()];
  }

  has = (aggregateId: string): boolean => this.#blocks.has(aggregateId);

  add(rejection: Rejection): void {
    const { event } = rejection;
    const nowMs = this.#clock.monotonicMs();
    const made = block(rejection, this.#blocks.get(event.aggregateId), nowMs, this.#policy, this.#random);
    this.#blocks.set(event.aggregateId, made);
    this.#announcements.announce({
      type: "aggregate-blocked",
      aggregateId: made.aggregateId,
      eventId: made.eventId,
      reason: made.reason,
      message: made.message,
      attempts: made.attempts,
      retryInMs: made.retryAtMs - nowMs,
    });
  }

  /** The blocks whose wait is over, at most `count`, the one that waits longest first. */
  due(count: number): Block[] {
    const nowMs = this.#clock.monotonicMs();
    return [...this.#blocks.values()]
      .filter(({ retryAtMs }) => retryAtMs <= nowMs)
      .sort((a, b) => a.retryAtMs - b.retryAtMs)
      .slice(0, count);
  }

  /** Forgets the blocks of shards that are somebody else's now, or were and may have changed. */
  keepShards(shards: ReadonlySet<number>): void {
    for (const [aggregateId, { shard }] of this.#blocks)
      if (!shards.has(shard)) this.#blocks.delete(aggregateId);
  }

  free(aggregateId: string): void {
    const freed = this.#blocks.get(aggregateId);
    if (freed === undefined) return;
    this.#blocks.delete(aggregateId);
    this.#announcements.announce({ type: "aggregate-unblocked", aggregateId, attempts: freed.attempts });
  }
}
