/**
 * What a rejection means for its aggregate: it blocks, and is tried again with growing waits, while
 * every other aggregate flows. Nothing is dropped and nothing is skipped.
 *
 * Under the policy `dead-letter` the event at the head is given up after `attemptsMax` rejections: it
 * moves out of the outbox, where a person finds it, and its aggregate goes on. Only the broker's (or
 * the translation's) own no counts as an attempt. A broker that is away, or that does not answer, says
 * nothing, and never costs an event its place.
 */
import type { Rejection, RejectionReason } from "../event/delivery.ts";
import type { Position } from "../event/position.ts";
import { backoffMs } from "./pace.ts";

/** An aggregate that waits, and the event at its head that was rejected. */
export interface Block {
  readonly aggregateId: string;
  readonly shard: number;
  readonly eventId: string;
  readonly position: Position;
  readonly reason: RejectionReason;
  readonly message: string;
  /** How often this event was rejected. */
  readonly attempts: number;
  /** On the relay's monotonic clock. */
  readonly retryAtMs: number;
}

export type Verdict = "retry" | "dead-letter";

export interface BlockPolicy {
  readonly rejected: "block" | "dead-letter";
  readonly attemptsMax: number;
  readonly blockRetryMinMs: number;
  readonly blockRetryMaxMs: number;
}

export function block(
  { event, reason, message }: Rejection,
  previous: Pick<Block, "eventId" | "attempts"> | undefined,
  nowMs: number,
  policy: BlockPolicy,
  random: () => number,
): Block {
  // Counted on from what another relay, or this one before a restart, wrote down about the same event.
  const attempts = previous?.eventId === event.eventId ? previous.attempts + 1 : 1;
  const waitMs =
    verdict(attempts, policy) === "dead-letter"
      ? 0
      : backoffMs(attempts, policy.blockRetryMinMs, policy.blockRetryMaxMs, random);
  return {
    aggregateId: event.aggregateId,
    shard: event.shard,
    eventId: event.eventId,
    position: { createdAt: event.createdAt, seq: event.seq },
    reason,
    message,
    attempts,
    retryAtMs: nowMs + waitMs,
  };
}

/** What becomes of an event that was rejected so often. */
export function verdict(attempts: number, { rejected, attemptsMax }: BlockPolicy): Verdict {
  return rejected === "dead-letter" && attempts >= attemptsMax ? "dead-letter" : "retry";
}
