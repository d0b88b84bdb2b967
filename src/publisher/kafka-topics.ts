/**
 * What a publisher knows about topics, across the lives of its producers: how many partitions each is
 * pinned to, which are not there (and are left alone for a while), and how large a record batch each
 * has proven to take.
 */

import { topicRelookMs } from "./kafka-options.ts";
import { type Refusal, refusalOf } from "./kafka-outcome.ts";
import { PinnedCounts } from "./kafka-partitions.ts";
import type { TopicSighting } from "./kafka-producer.ts";
import type { PublisherRemark } from "./publisher.ts";

/** A topic as one call of `publish` takes it. */
export type TopicState =
  | { readonly partitions: number; readonly leaderless: ReadonlySet<number> }
  | { readonly refusal: Refusal };

export class KafkaTopics {
  readonly #remark: (remark: PublisherRemark) => void;
  readonly #counts = new PinnedCounts();
  readonly #absent = new Map<string, { readonly refusal: Refusal; readonly lookAgainMs: number }>();
  readonly #bytesMax = new Map<string, number>();

  constructor(remark: (remark: PublisherRemark) => void) {
    this.#remark = remark;
  }

  /** Whether the topic was missing just now, and asking again would only be a burden. */
  isAbsent(topic: string, nowMs: number): boolean {
    const absent = this.#absent.get(topic);
    return absent !== undefined && nowMs < absent.lookAgainMs;
  }

  noteAbsent(topic: string, refusal: Refusal, nowMs: number): void {
    this.#absent.set(topic, { refusal, lookAgainMs: nowMs + topicRelookMs });
  }

  /** Undefined when the brokers gave no usable answer about it. */
  stateOf(topic: string, sighting: TopicSighting | undefined, nowMs: number): TopicState | undefined {
    const absent = this.#absent.get(topic);
    if (absent !== undefined && nowMs < absent.lookAgainMs) return { refusal: absent.refusal };
    this.#absent.delete(topic);
    if (sighting === undefined) return undefined;
    if (sighting.errorCode !== 0) {
      const refusal = refusalOf(sighting.errorCode);
      if (refusal === undefined) return undefined;
      this.noteAbsent(topic, refusal, nowMs);
      return { refusal };
    }
    return { partitions: this.#pin(topic, sighting.partitions), leaderless: sighting.leaderless };
  }

  #pin(topic: string, seen: number): number {
    const change = this.#counts.note(topic, seen);
    const pinned = this.#counts.countOf(topic) ?? seen;
    if (change === "grown") {
      const message = `topic "${topic}" grew to ${seen} partitions: its aggregates stay in the first ${pinned} until the relay is restarted; drain the outbox before, or their order across the move is lost`;
      this.#remark({ level: "warn", message });
    }
    if (change === "shrunk") {
      const message = `topic "${topic}" was made anew with ${seen} partitions: its aggregates are spread over these from now on`;
      this.#remark({ level: "warn", message });
    }
    return pinned;
  }

  /** The largest record batch to send to the topic, never above `bytesMax`. */
  bytesMaxOf(topic: string, bytesMax: number): number {
    return Math.min(this.#bytesMax.get(topic) ?? bytesMax, bytesMax);
  }

  /** A batch of so many bytes was too large: half of it is tried from now on, and remembered. */
  noteTooLarge(topic: string, bytes: number): void {
    this.#bytesMax.set(topic, Math.floor(bytes / 2));
  }
}
