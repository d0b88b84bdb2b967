/**
 * Publishes to Kafka in transactions, one shard group's share of the outbox: exactly once to consumers
 * that read committed records only.
 *
 *     takeOver   new producer, same transactional.id ─► the old owner is fenced, its open transaction
 *                aborted ─► the number committed last is read, once it is stable
 *     commit     events ─► number (as the offset of a consumer group without members) ─► commit
 *
 * Any error ends the producer: after one, kafkajs would go on with the epoch and the sequence numbers of
 * what failed. Whatever was not committed by then is aborted by the next takeover.
 */
import { progressUpTo } from "../event/acknowledgement.ts";
import type { Progress, Rejection } from "../event/delivery.ts";
import type { Message } from "../event/message.ts";
import { type Clock, systemClock } from "../foundation/clock.ts";
import { invariant } from "../foundation/errors.ts";
import { cutChunk, type Outgoing, type Slot } from "./kafka-chunks.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { type SlotOutcome, troubleOf } from "./kafka-outcome.ts";
import type { KafkaProducer } from "./kafka-producer.ts";
import { KafkaProgress } from "./kafka-progress.ts";
import { conclude, KafkaRouter, type Routed, sentenceOf } from "./kafka-router.ts";
import { ProducerSuccession } from "./kafka-succession.ts";
import { type ProgressPlace, type TransactionDesk, transactionalMake } from "./kafka-transaction-desk.ts";
import { repairKafkajs } from "./kafkajs-repairs.ts";
import type { PublisherRemark } from "./publisher.ts";
import { ReportDraft } from "./report-draft.ts";
import type { CommitOutcome, Prepared, TransactionalPublisher } from "./transactional-publisher.ts";

export interface TransactionOptions {
  /** Names this outbox among all that write to the cluster; the same for all of its relays. */
  readonly outboxName: () => Promise<string>;
  /** The shard group, 0 to `groupCount - 1`. */
  readonly group: number;
  readonly groupCount: number;
  /** A topic that stays empty, with a partition for every group. */
  readonly progressTopic: string;
  /** After so long the broker aborts a transaction that nobody ends; until then it holds readers back. */
  readonly transactionTimeoutMs: number;
}

/** Producers that all have one transactional.id, one after another. */
export type SuccessionMaker = (
  ...all: ConstructorParameters<typeof ProducerSuccession<TransactionDesk>>
) => ProducerSuccession<TransactionDesk>;

/** What depends on the name of the outbox, which only the database knows. */
interface Named {
  readonly place: ProgressPlace;
  readonly producers: ProducerSuccession<TransactionDesk>;
}

export class KafkaTransactions implements TransactionalPublisher {
  readonly #open: (outboxName: string) => Named;
  readonly #outboxName: () => Promise<string>;
  readonly #router: KafkaRouter;
  readonly #progress: KafkaProgress;
  #named: Named | undefined;
  /** What `prepare` has placed, for the commit that follows it. */
  #routed: Routed | undefined;

  constructor(
    kafka: KafkaOptions,
    options: TransactionOptions,
    remark: (remark: PublisherRemark) => void,
    clock: Clock = systemClock,
    succession: SuccessionMaker = (...all) => new ProducerSuccession(...all),
  ) {
    repairKafkajs();
    const { group: partition, groupCount: partitions, progressTopic: topic, transactionTimeoutMs } = options;
    this.#outboxName = options.outboxName;
    this.#open = (outboxName) => {
      const make = transactionalMake(`${outboxName}-${partition}`, transactionTimeoutMs, clock);
      return {
        place: { groupId: outboxName, topic, partition, partitions },
        producers: succession(make, kafka, withoutWaits(remark), clock),
      };
    };
    this.#router = new KafkaRouter(kafka, remark, clock);
    this.#progress = new KafkaProgress(kafka, clock);
  }

  async #name(): Promise<Named> {
    this.#named ??= this.#open(await this.#outboxName());
    return this.#named;
  }

  async connect(): Promise<void> {
    const { place } = await this.#name();
    await this.#progress.look(place);
  }

  async takeOver(): Promise<Progress | null> {
    const { place, producers } = await this.#name();
    await producers.discard();
    this.#routed = undefined;
    await producers.current();
    // Not before: until the producer is there, an earlier owner may still commit.
    const number = await this.#progress.read(place);
    return number === null ? null : progressUpTo(number);
  }

  async prepare(messages: readonly Message[]): Promise<Prepared> {
    const draft = new ReportDraft();
    const producer = this.#named?.producers.inUse;
    const routed =
      producer === undefined ? "not taken over" : await this.#router.route(producer, messages, draft);
    if (typeof routed === "string") {
      for (const { event } of messages) draft.leaveUnknown(event, routed);
      return { sendable: [], report: draft.finish() };
    }
    for (const fault of routed.unroutable) conclude(fault, draft);
    this.#routed = routed;
    const events = new Set(routed.queue.map(({ event }) => event));
    const sendable =
      events.size === messages.length ? messages : messages.filter(({ event }) => events.has(event));
    return { sendable, report: draft.finish() };
  }

  async commit(
    number: number,
    sendable: readonly Message[],
    mayCommit: () => Promise<boolean>,
  ): Promise<CommitOutcome> {
    const { place, producers } = await this.#name();
    const producer = producers.inUse;
    const queue = sendable.length === 0 ? [] : this.#routed?.queue;
    this.#routed = undefined;
    if (producer === undefined) return aborted("not taken over");
    invariant(queue?.length === sendable.length, "a transaction of something else than what was prepared");
    const begun = await producer.ask("begin", (desk) => desk.begin());
    if ("trouble" in begun) return aborted(begun.trouble);
    // Side by side: the order inside of a transaction means nothing, only that all of it is there at the end.
    const [failure, recorded] = await Promise.all([
      this.#sendAll(producer, queue),
      producer.ask("number", (desk) => desk.record(place, number)),
    ]);
    if (failure !== undefined) return failure;
    if ("trouble" in recorded) return aborted(recorded.trouble);
    if (!(await mayCommit())) {
      // Readers wait behind an open transaction; and after an abort this producer is not to be used again.
      await producer.ask("abort", (desk) => desk.abort());
      await producers.discard();
      return aborted("it may not be committed");
    }
    const ended = await producer.ask("commit", (desk) => desk.commit());
    if ("trouble" in ended) return { kind: "unknown", trouble: troubleOf(ended.trouble) };
    this.#router.forgetAll();
    return { kind: "committed", progress: progressUpTo(number) };
  }

  async #sendAll(
    producer: KafkaProducer<TransactionDesk>,
    queue: readonly Outgoing[],
  ): Promise<CommitOutcome | undefined> {
    for (let rest = queue; rest.length > 0; ) {
      const chunk = cutChunk(rest, this.#router.limits);
      const failure = this.#failureOf(chunk.slots, await producer.send(chunk.slots));
      if (failure !== undefined) return failure;
      rest = chunk.rest;
    }
    return undefined;
  }

  /** A transaction is whole or nothing: one slot that was not accepted for certain ends all of it. */
  #failureOf(slots: readonly Slot[], outcomes: readonly SlotOutcome[]): CommitOutcome | undefined {
    const rejections: Rejection[] = [];
    const troubles: string[] = [];
    let isRefused = true;
    for (const [at, slot] of slots.entries()) {
      const outcome = outcomes[at];
      if (outcome?.kind === "acked") continue;
      if (outcome?.kind !== "refused") {
        troubles.push(outcome?.trouble ?? "a slot without an outcome");
        isRefused = false;
        continue;
      }
      const { refusal } = outcome;
      troubles.push(refusal.sentence);
      if (this.#router.learn(slot, refusal)) continue;
      const heads = new Map<string, Outgoing>();
      for (const message of slot.messages)
        if (!heads.has(message.event.aggregateId)) heads.set(message.event.aggregateId, message);
      for (const { event, bytes } of heads.values())
        rejections.push({ event, reason: refusal.reason, message: sentenceOf(slot.topic, refusal, bytes) });
    }
    const [trouble] = troubles;
    return trouble === undefined ? undefined : { kind: "aborted", isRefused, rejections, trouble };
  }

  async close(): Promise<void> {
    await this.#named?.producers.discard();
  }
}

function aborted(thrown: unknown): CommitOutcome {
  return { kind: "aborted", isRefused: false, rejections: [], trouble: troubleOf(thrown) };
}

/**
 * kafkajs calls it an error when it waits for the transaction before; it does so after nearly every one. What
 * is more than waiting comes back as the trouble of the call.
 */
function withoutWaits(remark: (remark: PublisherRemark) => void): (remark: PublisherRemark) => void {
  return ({ level, message }) => {
    const isWait =
      /concurrent transaction|concurrent operation|ongoing transaction|Response (InitProducerId|AddPartitionsToTxn)\(/i.test(
        message,
      );
    const isOld = message.includes("Limiting retries for the idempotent producer");
    if (!isOld) remark({ level: isWait ? "debug" : level, message });
  };
}
