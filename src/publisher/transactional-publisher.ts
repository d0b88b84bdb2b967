/**
 * Publishing all or nothing, as a port: a batch and its number become visible together or not at all.
 *
 *     closed ──takeOver──► open ──commit──► open        committed: events and number are there
 *                           │  └──────────► closed      aborted, or unknown: take over again
 *                           └──close──────► closed
 *
 * Taking over does two things, in this order: it fences, so that nothing an earlier owner has begun can be
 * committed from now on; and it reads the number committed last. Read before fencing, a batch could still
 * be committed behind our back and then be published once more.
 */
import type { Progress, Rejection, Report } from "../event/delivery.ts";
import type { Message } from "../event/message.ts";

/** What of a batch can be sent now. The report has the rest: rejections, unknowns, held; never an ack. */
export interface Prepared {
  readonly sendable: readonly Message[];
  readonly report: Report;
}

export type CommitOutcome =
  | { readonly kind: "committed"; readonly progress: Progress }
  /**
   * For certain, nothing of it will ever be visible. `isRefused`: the broker will not have it as it is, and
   * the next attempt will be another one. `rejections`: the events that were the cause, once they are known.
   */
  | {
      readonly kind: "aborted";
      readonly isRefused: boolean;
      readonly rejections: readonly Rejection[];
      readonly trouble: string;
    }
  /** The answer to the commit itself is missing; only the next takeover can tell. */
  | { readonly kind: "unknown"; readonly trouble: string };

export interface TransactionalPublisher {
  /** Looks whether there is a broker that takes transactions. Throws as `takeOver` does. */
  connect(): Promise<void>;
  /**
   * Fences, then reads. Null: the broker keeps no number for this group (any more).
   * @throws OutriderError BROKER_UNAVAILABLE (retriable) or BROKER_REFUSED.
   */
  takeOver(): Promise<Progress | null>;
  prepare(messages: readonly Message[]): Promise<Prepared>;
  /**
   * One transaction: these messages, and this number, which is larger than every one before. `mayCommit` is
   * asked once all of it is sent, and waited for; on a no nothing of it will ever be visible.
   */
  commit(
    number: number,
    sendable: readonly Message[],
    mayCommit: () => Promise<boolean>,
  ): Promise<CommitOutcome>;
  /** Resolves when nothing of it runs any more. Idempotent. */
  close(): Promise<void>;
}
