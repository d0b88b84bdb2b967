/**
 * Which partition each message of a batch goes to, as the brokers describe its topic now. What cannot be
 * placed ends its lane; what stands before it in its lane is still to be sent.
 */
import type { OutboxEvent } from "../event/event.ts";
import type { Message } from "../event/message.ts";
import type { Clock } from "../foundation/clock.ts";
import { invariant } from "../foundation/errors.ts";
import { type ChunkLimits, type Outgoing, type Slot, toOutgoing } from "./kafka-chunks.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import type { Refusal } from "./kafka-outcome.ts";
import { partitionOf } from "./kafka-partitions.ts";
import type { TopicSighting } from "./kafka-producer.ts";
import { KafkaTopics, type TopicState } from "./kafka-topics.ts";
import type { PublisherRemark } from "./publisher.ts";
import type { ReportDraft } from "./report-draft.ts";

/** The producer, as far as it can be asked about topics. */
export interface TopicSource {
  sightingOf(topic: string): TopicSighting | undefined;
  lookUp(topics: readonly string[]): Promise<string | undefined>;
}

/** A message that failed before anything was sent. */
export type Unroutable = { readonly event: OutboxEvent; readonly topic: string } & (
  | { readonly refusal: Refusal }
  | { readonly trouble: string }
);

export interface Routed {
  readonly queue: readonly Outgoing[];
  readonly unroutable: readonly Unroutable[];
}

export class KafkaRouter {
  readonly #topics: KafkaTopics;
  readonly #requestBytesMax: number;
  readonly #clock: Clock;
  /** Most messages in a record batch of a partition, while a refused record is being isolated there. */
  readonly #isolated = new Map<string, number>();

  constructor(options: KafkaOptions, remark: (remark: PublisherRemark) => void, clock: Clock) {
    this.#topics = new KafkaTopics(remark);
    this.#requestBytesMax = options.requestBytesMax;
    this.#clock = clock;
  }

  readonly limits: ChunkLimits = {
    bytesMax: (topic) => this.#topics.bytesMaxOf(topic, this.#requestBytesMax),
    eventsMax: (topic, partition) =>
      this.#isolated.get(placeOf(topic, partition)) ?? Number.POSITIVE_INFINITY,
  };

  /**
   * Places what can be placed, and holds what stands behind something that cannot. Whether an unroutable
   * message is rejected or held is only known once what stands before it was sent (`conclude`). Returns
   * the trouble when the brokers could not be asked.
   */
  async route(
    source: TopicSource,
    messages: readonly Message[],
    draft: ReportDraft,
  ): Promise<Routed | string> {
    const topics = await this.#lookUp(source, messages);
    if (typeof topics === "string") return topics;
    const queue: Outgoing[] = [];
    const unroutable: Unroutable[] = [];
    const ended = new Set<string>();
    const nowMs = this.#clock.wallMs();
    for (const message of messages) {
      const { event, topic, key } = message;
      const placed = ended.has(event.aggregateId) ? undefined : placeIn(topics.get(topic), topic, key);
      if (placed === undefined) {
        draft.hold(event);
      } else if (typeof placed === "number") {
        queue.push(toOutgoing(message, placed, nowMs));
      } else {
        ended.add(event.aggregateId);
        unroutable.push({ event, topic, ...placed });
      }
    }
    return { queue, unroutable };
  }

  /** What is known about every topic of the batch, or the trouble that kept the brokers from telling. */
  async #lookUp(
    source: TopicSource,
    messages: readonly Message[],
  ): Promise<ReadonlyMap<string, TopicState> | string> {
    const names = new Set<string>();
    for (const { topic } of messages) names.add(topic);
    const nowMs = this.#clock.monotonicMs();
    const unseen = [...names].filter(
      (topic) => source.sightingOf(topic)?.errorCode !== 0 && !this.#topics.isAbsent(topic, nowMs),
    );
    if (unseen.length > 0) {
      const trouble = await source.lookUp(unseen);
      if (trouble !== undefined) return trouble;
    }
    const states = new Map<string, TopicState>();
    for (const topic of names) {
      const state = this.#topics.stateOf(topic, source.sightingOf(topic), nowMs);
      if (state === undefined) return `the brokers do not describe topic "${topic}"`;
      states.set(topic, state);
    }
    return states;
  }

  /**
   * Learns from a refused slot. Returns true when its messages have to be tried again, in smaller record
   * batches, because one of them is the cause and the others are innocent.
   */
  learn({ topic, partition, messages, bytes }: Slot, refusal: Refusal): boolean {
    const place = placeOf(topic, partition);
    if (refusal.cause === "topic") {
      this.#topics.noteAbsent(topic, refusal, this.#clock.monotonicMs());
    } else if (messages.length > 1) {
      if (refusal.cause === "size") this.#topics.noteTooLarge(topic, bytes);
      else this.#isolated.set(place, Math.ceil(messages.length / 2));
      return true;
    }
    this.#isolated.delete(place);
    return false;
  }

  /** The slot was accepted: nothing is being isolated there any more. */
  forget({ topic, partition }: Slot): void {
    this.#isolated.delete(placeOf(topic, partition));
  }

  /** Nothing is being isolated anywhere. */
  forgetAll(): void {
    this.#isolated.clear();
  }
}

const placeOf = (topic: string, partition: number): string => `${topic}/${partition}`;

function placeIn(
  state: TopicState | undefined,
  topic: string,
  key: string,
): number | { readonly refusal: Refusal } | { readonly trouble: string } {
  invariant(state !== undefined, "a topic that was not looked up");
  if ("refusal" in state) return state;
  const partition = partitionOf(key, state.partitions);
  if (!state.leaderless.has(partition)) return partition;
  return { trouble: `${topic}/${partition} has no leader` };
}

/** Enters what became of a message that had no place, now that everything before it has its outcome. */
export function conclude(fault: Unroutable, draft: ReportDraft): void {
  if (draft.isStopped(fault.event)) draft.hold(fault.event);
  else if ("trouble" in fault) draft.leaveUnknown(fault.event, fault.trouble);
  else draft.reject(fault.event, fault.refusal.reason, sentenceOf(fault.topic, fault.refusal, 0));
}

export function sentenceOf(topic: string, { cause, sentence }: Refusal, bytes: number): string {
  return `topic "${topic}": ${sentence}${cause === "size" ? ` (about ${bytes} bytes)` : ""}`;
}
