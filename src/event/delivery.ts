/**
 * The life of an event on its way out, as types. A publisher answers for every event of a batch in
 * exactly one of four ways:
 *
 *     ack       the broker has it            → the row may be deleted, and only then
 *     rejected  it will never be accepted    → its aggregate waits (a verdict decides for how long)
 *     unknown   it may or may not be there   → the same event is published again
 *     held      not tried, because an earlier event of its aggregate failed in this batch
 *
 * `remove` demands acks, and only a publisher can make one, so that deleting an event that nobody
 * acknowledged does not compile.
 */
import type { OutboxEvent } from "./event.ts";

declare const acked: unique symbol;

/**
 * Proof that the broker accepted this event. Made in `acknowledgement.ts`, which only publishers import. Of the
 * event it has what the removal needs and no more: whoever keeps an ack keeps no payload in memory.
 */
export type Ack = Pick<OutboxEvent, "eventId" | "rowHint" | "payloadBytes"> & { readonly [acked]: true };

declare const committed: unique symbol;

/**
 * Proof that the broker has committed every batch up to this number, and will commit no other one up to
 * it. Made in `acknowledgement.ts`, like an ack. 0: it keeps the count, and nothing is committed yet.
 */
export interface Progress {
  readonly number: number;
  readonly [committed]: true;
}

export const rejectionReasons = [
  "topic-unknown",
  "topic-invalid",
  "topic-unauthorized",
  "message-too-large",
  "payload-too-large",
  "headers-invalid",
  "aggregate-id-invalid",
  "broker-refused",
] as const;

export type RejectionReason = (typeof rejectionReasons)[number];

export interface Rejection {
  readonly event: OutboxEvent;
  readonly reason: RejectionReason;
  /** One sentence for a person: what was refused and what to do. Never a part of the payload. */
  readonly message: string;
}

export interface Report {
  readonly acks: readonly Ack[];
  readonly rejections: readonly Rejection[];
  readonly unknowns: readonly OutboxEvent[];
  readonly held: readonly OutboxEvent[];
  /** Why there are unknowns, for the log; undefined when there are none. */
  readonly trouble?: string;
}
