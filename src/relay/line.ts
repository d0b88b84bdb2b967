/**
 * The second half of the pipeline, as the loop sees it: a claimed batch goes in, and rejections come out.
 * What becomes of the rows, and in which order publishing and deleting happen, is what the delivery modes
 * differ in, and each has a line of its own.
 *
 *     at-least-once   publish, ack, delete                                    delivery-line.ts
 *     at-most-once    write down and delete, publish                          at-most-once-line.ts
 *     exactly-once    write down, publish in a transaction, delete            exactly-once-line.ts
 */
import type { Rejection } from "../event/delivery.ts";
import type { Message } from "../event/message.ts";
import type { Clock } from "../foundation/clock.ts";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import type { ShardHolding } from "../lease/lease.ts";
import type { Announcements } from "./announcements.ts";
import type { Outage, OutageTiming } from "./outage.ts";

export interface LineTotals {
  readonly publishedTotal: number;
  readonly removedTotal: number;
}

export interface Line {
  readonly totals: LineTotals;
  /**
   * How long to let events gather before the next claim, while there is no backlog. What costs as much for
   * one event as for a hundred is done the less often the longer it takes: the machine never has more to do
   * with it than half of the time, and what waits goes together.
   */
  readonly gatherMs: number;
  /** What was published is not all removed yet, or not written down as settled. */
  readonly isBusy: boolean;
  /** Makes sure that there is a broker, waiting for it as long as it takes. Throws what waiting cannot mend. */
  connect(failFast: boolean): Promise<void>;
  /**
   * Shards came to us, or came back, and nothing of them is in flight: settles what the one before us left
   * open, before anything is claimed. False when they are not ours after all.
   */
  takeOver(): Promise<boolean>;
  /**
   * Publishes until every event was accepted, rejected, or is held behind a rejected one. Before each
   * attempt `mayPublish` is asked anew: events of a shard that is not ours any more are left alone.
   */
  publish(
    messages: readonly Message[],
    mayPublish: (shard: number) => boolean,
  ): Promise<readonly Rejection[]>;
  /** There is nothing new to publish: does what would otherwise be done along with the next batch. */
  rest(): Promise<void>;
  /** Resolves when every published event is removed (or, when stopping, given up until the restart). */
  settle(): Promise<void>;
}

/** What every line is built from. */
export interface LineParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly announcements: Announcements;
}

/** What a line gets from the loop that it works for. */
export interface LineOwner {
  readonly timing: OutageTiming;
  /** Stop repeating what fails. What is in flight is still waited for. */
  readonly signal: AbortSignal;
  readonly holding: ShardHolding;
  /** The shards are somebody else's: whatever was claimed of them and not published is to be forgotten. */
  readonly abandon: () => void;
  /** The pulse of the loop, for as long as it waits for this line. */
  readonly beat: () => void;
}

export type LineMaker = (owner: LineOwner) => Line;

/** Whether PostgreSQL caused it, so that waiting may help; anything else is a fault of this program. */
export function isOutboxTrouble(error: unknown): boolean {
  return error instanceof OutriderError && error.code.startsWith("OUTBOX_");
}

/** Repeats a statement until PostgreSQL has answered it; undefined when the signal came first. */
export async function insist<T>(
  statement: () => Promise<T>,
  outage: Outage,
  signal: AbortSignal,
): Promise<T | undefined> {
  for (;;) {
    try {
      const answer = await statement();
      outage.end();
      return answer;
    } catch (error) {
      if (!isOutboxTrouble(error)) throw error;
      if (signal.aborted) return undefined;
      await outage.wait(messageOf(error), signal);
    }
  }
}

/** Repeats a call to the broker until it is there; undefined when the signal came first. */
export async function awaitBroker<T>(
  call: () => Promise<T>,
  outage: Outage,
  signal: AbortSignal,
  failFast = false,
): Promise<T | undefined> {
  while (!signal.aborted) {
    try {
      const answer = await call();
      outage.end();
      return answer;
    } catch (error) {
      if (failFast || !(error instanceof OutriderError) || !error.retriable) throw error;
      await outage.wait(error.message, signal);
    }
  }
  return undefined;
}
