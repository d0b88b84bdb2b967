/** One attempt at one event: the user's handler, and what follows when it throws. Never throws itself. */
import { messageOf, OutriderError } from "../foundation/errors.ts";
import type { ConsumedEvent, Place } from "./consumed-event.ts";
import type { ConsumerListener } from "./consumer-announcements.ts";
import type { Outcome, Task } from "./partition-lanes.ts";
import { counts, isGivenUp, type PoisonPolicy, retryPauseMs } from "./poison.ts";

export interface HandleContext {
  /**
   * Fires when the work's time is over: the partition went to another member, or a stop or a rebalance
   * has waited `drainMsMax`. What is done after that is done again elsewhere.
   */
  readonly signal: AbortSignal;
  /** 1 at the first attempt of this process. */
  readonly attempt: number;
}

export interface WorkParts {
  handle(event: ConsumedEvent, context: HandleContext): Promise<unknown>;
  readonly poisoned: PoisonPolicy;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  readonly random: () => number;
  readonly announce: ConsumerListener;
}

export class EventWork {
  readonly #parts: WorkParts;
  #handledTotal = 0;

  constructor(parts: WorkParts) {
    this.#parts = parts;
  }

  get handledTotal(): number {
    return this.#handledTotal;
  }

  async attempt(place: Place, task: Task, signal: AbortSignal): Promise<Outcome> {
    const { handle, announce } = this.#parts;
    try {
      if (task.event instanceof OutriderError) throw task.event;
      await handle(task.event, { signal, attempt: task.failures + 1 });
    } catch (thrown) {
      return await this.#judge(place, task, thrown);
    }
    this.#handledTotal += 1;
    if (task.failures > 0) announce({ type: "event-recovered", ...nameOf(place, task) });
    return "done";
  }

  async #judge(place: Place, task: Task, thrown: unknown): Promise<Outcome> {
    const { poisoned } = this.#parts;
    task.failures += 1;
    try {
      if (counts(poisoned, thrown)) task.attempts += 1;
      if (poisoned.policy === "park" && isGivenUp(poisoned, task.attempts, thrown)) {
        return await this.#park(place, task, thrown, poisoned);
      }
      return this.#retry(place, task, thrown);
    } catch (failure) {
      // It could not be parked: it must not count as done, and its aggregate goes on waiting.
      return this.#retry(place, task, failure);
    }
  }

  async #park(
    place: Place,
    { event, message, attempts, ...task }: Task,
    error: unknown,
    policy: Extract<PoisonPolicy, { policy: "park" }>,
  ): Promise<Outcome> {
    const readable = event instanceof OutriderError ? null : event;
    await policy.onPoisoned({ ...place, event: readable, message, error, attempts });
    this.#parts.announce({
      type: "event-parked",
      ...nameOf(place, { ...task, event, message, attempts }),
      aggregateId: readable?.aggregateId ?? null,
      message: messageOf(error),
      attempts,
    });
    return "done";
  }

  #retry(place: Place, task: Task, thrown: unknown): Outcome {
    const { retryMinMs, retryMaxMs, random, announce } = this.#parts;
    const retryInMs = retryPauseMs(task.failures, retryMinMs, retryMaxMs, random);
    announce({
      type: "event-failed",
      ...nameOf(place, task),
      aggregateId: task.event instanceof OutriderError ? null : task.event.aggregateId,
      message: messageOf(thrown),
      failures: task.failures,
      retryInMs,
    });
    return { retryInMs };
  }
}

function nameOf(place: Place, { event, message }: Task): { place: string; eventId: string | null } {
  return {
    place: `${place.topic}/${place.partition}@${message.offset}`,
    eventId: event instanceof OutriderError ? null : event.eventId,
  };
}
