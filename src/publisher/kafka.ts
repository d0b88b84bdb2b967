/**
 * Publishes to Kafka through kafkajs, at least once and in order per aggregate.
 *
 *     messages ─► topics looked up ─► partitions ─► chunks ─► send ─► one outcome a partition
 *                    │ missing: rejected                        │ refused: halved until it stands alone
 *                    └ others flow                              └ unknown: new producer before the next send
 *
 * What the publisher believes is what it was shown: an event is acked only if the answer for its
 * partition is there, says success, and names an offset above every one acked before.
 */
import type { Report } from "../event/delivery.ts";
import type { OutboxEvent } from "../event/event.ts";
import type { Message } from "../event/message.ts";
import { type Clock, systemClock } from "../foundation/clock.ts";
import { invariant, OutriderError } from "../foundation/errors.ts";
import { cutChunk, type Outgoing, type Slot, toOutgoing } from "./kafka-chunks.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import type { Refusal, SlotOutcome } from "./kafka-outcome.ts";
import { partitionOf } from "./kafka-partitions.ts";
import type { KafkaProducer } from "./kafka-producer.ts";
import { ProducerSuccession } from "./kafka-succession.ts";
import { KafkaTopics, type TopicState } from "./kafka-topics.ts";
import { repairKafkajs } from "./kafkajs-repairs.ts";
import type { Publisher, PublisherRemark } from "./publisher.ts";
import { ReportDraft } from "./report-draft.ts";

export type { KafkaOptions, KafkaSasl, KafkaTls } from "./kafka-options.ts";

/** A message that failed before anything was sent. */
type Unroutable = { readonly event: OutboxEvent; readonly topic: string } & (
  | { readonly refusal: Refusal }
  | { readonly trouble: string }
);

export class KafkaPublisher implements Publisher {
  readonly #options: KafkaOptions;
  readonly #clock: Clock;
  readonly #topics: KafkaTopics;
  readonly #producers: ProducerSuccession;
  #running: Promise<unknown> | undefined;
  #isClosed = false;

  /** `remark` gets what is worth a log line; never a payload, never a secret. */
  constructor(options: KafkaOptions, remark: (remark: PublisherRemark) => void, clock: Clock = systemClock) {
    invariant(options.brokers.length > 0, "a Kafka publisher needs the address of a broker");
    repairKafkajs();
    this.#options = Object.freeze({ ...options });
    this.#clock = clock;
    this.#topics = new KafkaTopics(remark);
    this.#producers = new ProducerSuccession(this.#options, remark, clock);
  }

  async connect(): Promise<void> {
    await this.#runAlone(() => this.#producers.current());
  }

  publish(messages: readonly Message[]): Promise<Report> {
    return this.#runAlone(() => this.#publish(messages));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running?.catch(() => undefined); // Whoever made that call gets its error.
    await this.#producers.discard();
  }

  async #runAlone<T>(run: () => Promise<T>): Promise<T> {
    invariant(!this.#isClosed, "this publisher was closed");
    invariant(this.#running === undefined, "one call of a publisher at a time");
    const running = run();
    this.#running = running;
    try {
      return await running;
    } finally {
      this.#running = undefined;
    }
  }

  async #publish(messages: readonly Message[]): Promise<Report> {
    const draft = new ReportDraft();
    if (messages.length === 0) return draft.finish();
    let producer: KafkaProducer;
    try {
      producer = await this.#producers.current();
    } catch (error) {
      if (!(error instanceof OutriderError) || !error.code.startsWith("BROKER_")) throw error;
      for (const { event } of messages) draft.leaveUnknown(event, error.message);
      return draft.finish();
    }
    const topics = await this.#lookUp(producer, messages);
    if (typeof topics === "string") {
      for (const { event } of messages) draft.leaveUnknown(event, topics);
    } else {
      const { queue, unroutable } = this.#route(messages, topics, draft);
      await this.#sendAll(producer, queue, draft);
      for (const fault of unroutable) conclude(fault, draft);
    }
    const report = draft.finish();
    // Trouble found without sending (no leader) needs a new producer too: its metadata is what is stale.
    if (report.trouble !== undefined || producer.isStale) await this.#producers.discard();
    return report;
  }

  /** What is known about every topic of the batch, or the trouble that kept the brokers from telling. */
  async #lookUp(
    producer: KafkaProducer,
    messages: readonly Message[],
  ): Promise<ReadonlyMap<string, TopicState> | string> {
    const names = new Set<string>();
    for (const { topic } of messages) names.add(topic);
    const nowMs = this.#clock.monotonicMs();
    const unseen = [...names].filter(
      (topic) => producer.sightingOf(topic)?.errorCode !== 0 && !this.#topics.isAbsent(topic, nowMs),
    );
    if (unseen.length > 0) {
      const trouble = await producer.lookUp(unseen);
      if (trouble !== undefined) return trouble;
    }
    const states = new Map<string, TopicState>();
    for (const topic of names) {
      const state = this.#topics.stateOf(topic, producer.sightingOf(topic), nowMs);
      if (state === undefined) return `the brokers do not describe topic "${topic}"`;
      states.set(topic, state);
    }
    return states;
  }

  /**
   * Gives every message its partition. What has none ends its lane here; but what stands before it in
   * its lane is still to be sent, so whether it is rejected or held is only known at the end.
   */
  #route(
    messages: readonly Message[],
    topics: ReadonlyMap<string, TopicState>,
    draft: ReportDraft,
  ): { readonly queue: readonly Outgoing[]; readonly unroutable: readonly Unroutable[] } {
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

  /** Sends chunk after chunk until everything has its outcome, or the producer is spent. */
  async #sendAll(producer: KafkaProducer, messages: readonly Outgoing[], draft: ReportDraft): Promise<void> {
    const isolated = new Map<string, number>();
    const limits = {
      bytesMax: (topic: string) => this.#topics.bytesMaxOf(topic, this.#options.requestBytesMax),
      eventsMax: (topic: string, partition: number) =>
        isolated.get(`${topic}/${partition}`) ?? Number.POSITIVE_INFINITY,
    };
    let queue = messages;
    while (queue.length > 0) {
      const { slots, rest } = cutChunk(queue, limits);
      const outcomes = await producer.send(slots);
      const again = slots.flatMap((slot, at) => this.#conclude(slot, outcomes[at], isolated, draft));
      if (again.length === 0 && rest.length === 0) return;
      queue = [...again, ...rest].filter(({ event }) => {
        const isStopped = draft.isStopped(event);
        if (isStopped) draft.hold(event);
        return !isStopped;
      });
      if (!producer.isSpent) continue;
      for (const { event } of queue) draft.leaveUnknown(event, "not sent after the trouble before it");
      return;
    }
  }

  /** Enters the outcome of a slot; returns what has to be sent again, in smaller batches. */
  #conclude(
    slot: Slot,
    outcome: SlotOutcome | undefined,
    isolated: Map<string, number>,
    draft: ReportDraft,
  ): readonly Outgoing[] {
    invariant(outcome !== undefined, "a slot without an outcome");
    const { topic, partition, messages } = slot;
    const place = `${topic}/${partition}`;
    if (outcome.kind === "unknown") {
      for (const { event } of messages) draft.leaveUnknown(event, outcome.trouble);
      return [];
    }
    if (outcome.kind === "acked") {
      for (const { event } of messages) draft.ack(event);
      isolated.delete(place);
      return [];
    }
    const { refusal } = outcome;
    if (refusal.cause === "topic") {
      this.#topics.noteAbsent(topic, refusal, this.#clock.monotonicMs());
    } else if (messages.length > 1) {
      if (refusal.cause === "size") this.#topics.noteTooLarge(topic, slot.bytes);
      else isolated.set(place, Math.ceil(messages.length / 2));
      return messages;
    }
    isolated.delete(place);
    for (const { event, bytes } of messages) {
      draft.reject(event, refusal.reason, sentenceOf(topic, refusal, bytes));
    }
    return [];
  }
}

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

function conclude(fault: Unroutable, draft: ReportDraft): void {
  if (draft.isStopped(fault.event)) draft.hold(fault.event);
  else if ("trouble" in fault) draft.leaveUnknown(fault.event, fault.trouble);
  else draft.reject(fault.event, fault.refusal.reason, sentenceOf(fault.topic, fault.refusal, 0));
}

function sentenceOf(topic: string, { cause, sentence }: Refusal, bytes: number): string {
  return `topic "${topic}": ${sentence}${cause === "size" ? ` (about ${bytes} bytes)` : ""}`;
}
