/** What becomes of an event whose work failed. Pure. */
import { OutriderError } from "../foundation/errors.ts";
import type { ConsumedEvent } from "./consumed-event.ts";
import type { ReceivedMessage } from "./consumer-shape.ts";

/** An event, or a record that is none, that the policy `park` gives up. */
export interface PoisonedEvent {
  /** Null for a record that Outrider did not write (EVENT_UNREADABLE). */
  readonly event: ConsumedEvent | null;
  readonly message: ReceivedMessage;
  readonly topic: string;
  readonly partition: number;
  /** What the last attempt threw. */
  readonly error: unknown;
  readonly attempts: number;
}

/**
 * `block`: the event is tried again for ever, with growing pauses; its aggregate waits behind it, the
 * others go on. The price: the committed offset stands still at the event, so a restart or a rebalance
 * brings again what was done after it (an inbox skips it), and when `eventsAheadMax` events of the
 * partition lie behind it, the partition stops until it is done.
 *
 * `park`: after `attemptsMax` failures the event is handed to `onPoisoned`, for instance to be written
 * to a dead-letter topic; once that has resolved it counts as done, and its aggregate goes on without
 * it. The price: a hole in that aggregate's history, and a consumer that must be right about what is
 * poison: during an outage every event fails, so say with `isTransient` which errors do not count.
 */
export type PoisonPolicy =
  | { readonly policy: "block" }
  | {
      readonly policy: "park";
      /** Default 10. With the default pauses the tenth failure comes after about a minute. */
      readonly attemptsMax?: number;
      /** May be called again for the same event when it fails, or after a crash. */
      onPoisoned(poisoned: PoisonedEvent): Promise<unknown>;
      /** True for an error that says nothing about the event: no connection, a deadlock. Default: none is. */
      isTransient?(error: unknown): boolean;
    };

export const attemptsMaxDefault = 10;

/** Whether this failure, the `attempts`-th that counts, is the last one. */
export function isGivenUp(policy: PoisonPolicy, attempts: number, error: unknown): boolean {
  if (policy.policy === "block") return false;
  // Trying again does not give a record the headers it lacks.
  if (isUnreadable(error)) return true;
  return attempts >= (policy.attemptsMax ?? attemptsMaxDefault);
}

/** Whether a failure says something about the event. */
export function counts(policy: PoisonPolicy, error: unknown): boolean {
  return policy.policy === "block" || policy.isTransient?.(error) !== true;
}

function isUnreadable(error: unknown): boolean {
  return error instanceof OutriderError && error.code === "EVENT_UNREADABLE";
}

/** Doubles up to the maximum, at least half of it by chance; `failures` counts from 1. */
export function retryPauseMs(failures: number, minMs: number, maxMs: number, random: () => number): number {
  const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(ceiling * (0.5 + random() / 2));
}
