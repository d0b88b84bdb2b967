/**
 * What a rejection means for its aggregate: it blocks, and is tried again with growing waits, while
 * every other aggregate flows. Nothing is dropped and nothing is skipped.
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

export interface BlockPolicy {
  readonly blockRetryMinMs: number;
  readonly blockRetryMaxMs: number;
}

export function block(
  { event, reason, message }: Rejection,
  previous: Block | undefined,
  nowMs: number,
  policy: BlockPolicy,
  random: () => number,
): Block {
  const attempts = previous?.eventId === event.eventId ? previous.attempts + 1 : 1;
  return {
    aggregateId: event.aggregateId,
    shard: event.shard,
    eventId: event.eventId,
    position: { createdAt: event.createdAt, seq: event.seq },
    reason,
    message,
    attempts,
    retryAtMs: nowMs + backoffMs(attempts, policy.blockRetryMinMs, policy.blockRetryMaxMs, random),
  };
}
