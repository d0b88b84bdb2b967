import type { Ack, Progress } from "./delivery.ts";
import type { OutboxEvent } from "./event.ts";

/**
 * Turns an event into the proof that the broker has it. Only a publisher may import this file (the
 * import checker says so), and only after it has seen the broker's own answer for this very event.
 */
export function acknowledge({ eventId, rowHint, payloadBytes }: OutboxEvent): Ack {
  return { eventId, rowHint, payloadBytes } as Ack;
}

/** As `acknowledge`, for a whole batch: the number that the broker itself says is committed. */
export function progressUpTo(number: number): Progress {
  return { number } as Progress;
}
