/**
 * The way out of a block. The rejected event itself is tried again, alone, when its wait is over:
 *
 *              accepted, or no longer there
 *     blocked ──────────────────────────────────► free: claimed on from there
 *      │   ▲
 *      │   └── rejected again: a longer wait
 *      │
 *      └────── given up (policy `dead-letter`) ──► moved out, then free
 */
import type { OutboxEvent } from "../event/event.ts";
import type { Routing } from "../event/message.ts";
import type { RejectionLedger } from "../outbox/dead-letter-channel.ts";
import type { ClaimLimits, Outbox } from "../outbox/outbox.ts";
import type { Announcements } from "./announcements.ts";
import type { BlockedAggregates } from "./blocked-aggregates.ts";
import type { Cursors } from "./cursors.ts";
import { formBatch } from "./lanes.ts";
import type { Line } from "./line.ts";
import { type Block, type BlockPolicy, verdict } from "./verdict.ts";

export interface RetryParts {
  readonly outbox: Outbox;
  readonly ledger: RejectionLedger;
  readonly announcements: Announcements;
  readonly blocked: BlockedAggregates;
  readonly line: Line;
  readonly cursors: Cursors;
  readonly mayPublish: (shard: number) => boolean;
}

export class BlockRetries {
  readonly #parts: RetryParts;
  readonly #policy: BlockPolicy;
  readonly #routing: Routing;
  readonly #signal: AbortSignal;

  constructor(parts: RetryParts, policy: BlockPolicy, routing: Routing, signal: AbortSignal) {
    this.#parts = parts;
    this.#policy = policy;
    this.#routing = routing;
    this.#signal = signal;
  }

  /** Call it when nothing is in flight. Returns whether an aggregate came free. */
  async run(due: readonly Block[], limits: ClaimLimits): Promise<boolean> {
    const isHopeless = ({ attempts }: Block) => verdict(attempts, this.#policy) === "dead-letter";
    const buried = await this.#bury(due.filter(isHopeless));
    const passed = await this.#retry(
      due.filter((block) => !isHopeless(block)),
      limits,
    );
    for (const { aggregateId, shard, position } of [...buried, ...passed]) {
      this.#parts.blocked.free(aggregateId);
      this.#parts.cursors.rewind(shard, position);
    }
    return buried.length + passed.length > 0;
  }

  /** Moves these events out; one that somebody has deleted meanwhile only frees its aggregate. */
  async #bury(blocks: readonly Block[]): Promise<readonly Block[]> {
    // Without the lease the next holder decides: it counts on from what is written.
    const ours = blocks.filter(({ shard }) => this.#parts.mayPublish(shard));
    if (ours.length === 0) return [];
    const moved = new Set(await this.#parts.ledger.deadLetter(ours));
    for (const { eventId, aggregateId, reason, message, attempts } of ours) {
      if (!moved.has(eventId)) continue;
      this.#parts.announcements.announce({
        type: "event-dead-lettered",
        eventId,
        aggregateId,
        reason,
        message,
        attempts,
      });
    }
    return ours;
  }

  async #retry(blocks: readonly Block[], limits: ClaimLimits): Promise<readonly Block[]> {
    const { outbox, line, blocked, mayPublish } = this.#parts;
    if (blocks.length === 0) return [];
    const heads: OutboxEvent[] = [];
    for (const { shard, aggregateId, eventId, position } of blocks) {
      const head = await outbox.claimHead(shard, aggregateId, position, limits);
      // Another event than the rejected one was read without a fence: an older one may still be
      // uncommitted. It is left to the claim, which has one.
      if (head?.eventId === eventId) heads.push(head);
    }
    const { messages, unpublishable } = formBatch(heads, this.#routing, () => false);
    const failed = [...unpublishable, ...(await line.publish(messages, mayPublish))];
    await line.settle();
    for (const rejection of failed) blocked.add(rejection);
    // After a stop, or without the lease, nothing may have been sent: silence is no acceptance.
    if (this.#signal.aborted) return [];
    const stillBlocked = new Set(failed.map(({ event }) => event.aggregateId));
    return blocks.filter(({ aggregateId, shard }) => !stillBlocked.has(aggregateId) && mayPublish(shard));
  }
}
