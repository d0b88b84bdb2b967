/**
 * What was just published, for whoever counts or traces it: per event its topic, its age, its trace and
 * its outcome, and never its payload. It can be read only while it is being announced, and it writes
 * itself as nothing: a listener can neither keep a batch nor log one by mistake.
 */
import type { Rejection } from "../event/delivery.ts";
import type { OutboxEvent } from "../event/event.ts";
import type { Message } from "../event/message.ts";

export type Outcome = "acked" | "rejected" | "unknown" | "held";

/** What a listener may see of one event. */
export interface PublishedEvent {
  readonly topic: string;
  readonly outcome: Outcome;
  /** Acked, and sent before with an outcome that nobody knows: perhaps it is there twice now. */
  readonly isResent: boolean;
  /** `created_at` in milliseconds since 1970, as the database's clock said; undefined before year 1. */
  readonly createdAtMs: number | undefined;
  /** The W3C header that the application's span left with the event. */
  readonly traceparent: string | undefined;
}

/** The events that were not acked. In the usual case there is none, and nothing is looked up. */
export interface Failures {
  readonly rejections: readonly Rejection[];
  readonly unknowns: readonly OutboxEvent[];
  readonly held: readonly OutboxEvent[];
}

const noEvents: ReadonlySet<OutboxEvent> = new Set();

export class PublishedBatch {
  #messages: readonly Message[];
  #failures: Failures;
  #resent: ReadonlySet<OutboxEvent>;

  constructor(messages: readonly Message[], failures: Failures, resent: ReadonlySet<OutboxEvent> = noEvents) {
    this.#messages = messages;
    this.#failures = failures;
    this.#resent = resent;
  }

  /** Those that were acked now and sent before with an unknown outcome. */
  get resentCount(): number {
    let count = 0;
    if (this.#resent.size > 0)
      this.forEach(({ isResent }) => {
        if (isResent) count += 1;
      });
    return count;
  }

  /** Shows each event once, in the order of sending. After the announcement there is nothing left to show. */
  forEach(see: (event: PublishedEvent) => void): void {
    const outcomeOf = this.#outcomes();
    for (const { event, topic, timestamp, headers } of this.#messages) {
      const outcome = outcomeOf(event);
      see({
        topic,
        outcome,
        isResent: this.#resent.size > 0 && outcome === "acked" && this.#resent.has(event),
        createdAtMs: timestamp === undefined ? undefined : Number(timestamp),
        traceparent: headers.traceparent,
      });
    }
  }

  #outcomes(): (event: OutboxEvent) => Outcome {
    const { rejections, unknowns, held } = this.#failures;
    if (rejections.length + unknowns.length + held.length === 0) return () => "acked";
    const failed = new Map<OutboxEvent, Outcome>();
    for (const { event } of rejections) failed.set(event, "rejected");
    for (const event of unknowns) failed.set(event, "unknown");
    for (const event of held) failed.set(event, "held");
    return (event) => failed.get(event) ?? "acked";
  }

  /** The announcement is over: lets the events go. */
  release(): void {
    this.#messages = [];
    this.#failures = { rejections: [], unknowns: [], held: [] };
    this.#resent = noEvents;
  }

  /** A log line leaves it out. */
  toJSON(): undefined {
    return undefined;
  }
}
