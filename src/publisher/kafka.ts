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
import type { Message } from "../event/message.ts";
import { type Clock, systemClock } from "../foundation/clock.ts";
import { invariant, OutriderError } from "../foundation/errors.ts";
import { cutChunk, type Outgoing, type Slot } from "./kafka-chunks.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import type { SlotOutcome } from "./kafka-outcome.ts";
import { type KafkaProducer, type ProducerDesk, plainMake } from "./kafka-producer.ts";
import { conclude, KafkaRouter, sentenceOf } from "./kafka-router.ts";
import { ProducerSuccession } from "./kafka-succession.ts";
import { repairKafkajs } from "./kafkajs-repairs.ts";
import type { Publisher, PublisherRemark } from "./publisher.ts";
import { ReportDraft } from "./report-draft.ts";

export type { KafkaOptions, KafkaSasl, KafkaTls } from "./kafka-options.ts";

export class KafkaPublisher implements Publisher {
  readonly #options: KafkaOptions;
  readonly #router: KafkaRouter;
  readonly #producers: ProducerSuccession<ProducerDesk>;
  #running: Promise<unknown> | undefined;
  #isClosed = false;

  /** `remark` gets what is worth a log line; never a payload, never a secret. */
  constructor(options: KafkaOptions, remark: (remark: PublisherRemark) => void, clock: Clock = systemClock) {
    invariant(options.brokers.length > 0, "a Kafka publisher needs the address of a broker");
    repairKafkajs();
    this.#options = Object.freeze({ ...options });
    this.#router = new KafkaRouter(options, remark, clock);
    this.#producers = new ProducerSuccession(plainMake, this.#options, remark, clock);
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
    const routed = await this.#router.route(producer, messages, draft);
    if (typeof routed === "string") {
      for (const { event } of messages) draft.leaveUnknown(event, routed);
    } else {
      this.#router.forgetAll();
      await this.#sendAll(producer, routed.queue, draft);
      for (const fault of routed.unroutable) conclude(fault, draft);
    }
    const report = draft.finish();
    // Trouble found without sending (no leader) needs a new producer too: its metadata is what is stale.
    if (report.trouble !== undefined || producer.isStale) await this.#producers.discard();
    return report;
  }

  /** Sends chunk after chunk until everything has its outcome, or the producer is spent. */
  async #sendAll(producer: KafkaProducer, messages: readonly Outgoing[], draft: ReportDraft): Promise<void> {
    let queue = messages;
    while (queue.length > 0) {
      const { slots, rest } = cutChunk(queue, this.#router.limits);
      const outcomes = await producer.send(slots);
      const again = slots.flatMap((slot, at) => this.#conclude(slot, outcomes[at], draft));
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
  #conclude(slot: Slot, outcome: SlotOutcome | undefined, draft: ReportDraft): readonly Outgoing[] {
    invariant(outcome !== undefined, "a slot without an outcome");
    const { topic, messages } = slot;
    if (outcome.kind === "unknown") {
      for (const { event } of messages) draft.leaveUnknown(event, outcome.trouble);
      return [];
    }
    if (outcome.kind === "acked") {
      for (const { event } of messages) draft.ack(event);
      this.#router.forget(slot);
      return [];
    }
    const { refusal } = outcome;
    if (this.#router.learn(slot, refusal)) return messages;
    for (const { event, bytes } of messages) {
      draft.reject(event, refusal.reason, sentenceOf(topic, refusal, bytes));
    }
    return [];
  }
}
