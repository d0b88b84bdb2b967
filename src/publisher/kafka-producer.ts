/**
 * One life of one kafkajs producer, plain or transactional: what it is, its desk knows.
 *
 *     made ──connect──► usable ──send──► usable          every partition was answered for certain
 *       │                  │    └──────► spent           anything else: an unknown outcome, a throw
 *       └── fails ─────────┴─ dispose ─► gone            settled, disconnected, its sockets severed
 *
 * A producer does not outlive a failure: nothing that kafkajs may still believe (its metadata, its
 * connections, its order of requests) is carried over into the next attempt.
 */
import { Kafka, type KafkaConfig, logLevel, type Message, type Producer } from "kafkajs";
import type { Clock } from "../foundation/clock.ts";
import { KafkaCalls, type Settled } from "./kafka-calls.ts";
import type { Slot } from "./kafka-chunks.ts";
import { clientConfigOf, type KafkaOptions, producerConfig } from "./kafka-options.ts";
import {
  connectErrorOf,
  judge,
  type PartitionAnswer,
  refusalOf,
  type SlotOutcome,
  troubleOf,
} from "./kafka-outcome.ts";
import { ProduceWriter, parcelOf } from "./kafka-produce-request.ts";
import { SendGuard } from "./kafka-send-guard.ts";
import { Sockets } from "./kafka-sockets.ts";
import { type MetadataResponse, readResponses } from "./kafkajs-repairs.ts";
import type { PublisherRemark } from "./publisher.ts";

/** A topic as the brokers described it. */
export interface TopicSighting {
  /** 0, or the code of the reason why there is nothing more to say. */
  readonly errorCode: number;
  readonly partitions: number;
  /** Partitions that nobody leads at the moment: sending to one would fail the whole send. */
  readonly leaderless: ReadonlySet<number>;
}

/** The part of a kafkajs producer that is spoken to; a transactional one has a desk of its own. */
export type ProducerDesk = Pick<Producer, "connect" | "sendBatch" | "disconnect">;

export interface ProducerMake<Desk> {
  readonly client: (options: KafkaOptions, brokers: readonly string[]) => KafkaConfig;
  readonly desk: (kafka: Kafka) => Desk;
  /** kafkajs repeats the sends of this desk by itself, and has to be kept from it. */
  readonly isRepeating?: boolean;
}

export const plainMake: ProducerMake<ProducerDesk> = {
  client: clientConfigOf,
  desk: (kafka) => kafka.producer(producerConfig),
};

export class KafkaProducer<Desk extends ProducerDesk = ProducerDesk> {
  readonly #options: KafkaOptions;
  readonly #calls: KafkaCalls;
  readonly #sockets = new Sockets();
  readonly #desk: Desk;
  readonly #brokers: string;
  readonly #guard: SendGuard;
  readonly #asked = new Set<string>();
  readonly #sightings = new Map<string, TopicSighting>();
  readonly #lastOffsets = new Map<string, bigint>();
  #isSpent = false;
  #isStale = false;

  constructor(
    { client, desk, isRepeating = false }: ProducerMake<Desk>,
    options: KafkaOptions,
    brokers: readonly string[],
    remark: (remark: PublisherRemark) => void,
    clock: Clock,
  ) {
    this.#options = options;
    this.#calls = new KafkaCalls(this.#sockets, options, clock);
    this.#brokers = brokers[0] ?? "";
    this.#guard = new SendGuard(clock);
    readResponses(this.#sockets.factory, {
      readMetadata: (metadata) => this.#noteTopics(metadata),
      coordinators: new Map(),
      writeProduce: new ProduceWriter(options.compression).write,
      ...(isRepeating ? { carryOut: this.#guard.carryOut } : undefined),
    });
    const kafka = new Kafka({
      ...client(options, brokers),
      socketFactory: this.#sockets.factory,
      logLevel: logLevel.WARN,
      logCreator: () => (entry) => pass(entry.level, entry.log.message, entry.log.broker, remark),
    });
    this.#desk = desk(kafka);
  }

  /** True from the first failure on: only `dispose` is left to do. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  /** True once a broker refused a whole topic: kafkajs would go by what it knew of it for minutes. */
  get isStale(): boolean {
    return this.#isStale;
  }

  /** Throws BROKER_UNAVAILABLE, BROKER_REFUSED or PUBLISH_STUCK. */
  async connect(): Promise<void> {
    const settled = await this.#calls.settle("connect", this.#desk.connect());
    if ("value" in settled) return;
    this.#isSpent = true;
    throw connectErrorOf(settled.trouble, this.#brokers);
  }

  sightingOf(topic: string): TopicSighting | undefined {
    return this.#sightings.get(topic);
  }

  /**
   * Asks the brokers for these topics; afterwards `sightingOf` knows each of them. Returns the trouble
   * when the brokers could not be asked. kafkajs loads the metadata of every topic it is asked to send
   * to, even when there is nothing to send, and throws when one of them is not there: by then the
   * answer was read.
   */
  async lookUp(topics: readonly string[]): Promise<string | undefined> {
    for (const topic of topics) {
      this.#asked.add(topic);
      this.#sightings.delete(topic);
    }
    const topicMessages = topics.map((topic) => ({ topic, messages: [] }));
    const settled = await this.#calls.settle("look-up", this.#desk.sendBatch({ topicMessages }));
    if ("value" in settled) return undefined;
    const codes = topics.map((topic) => this.#sightings.get(topic)?.errorCode);
    const isExplained = codes.every((code) => code === 0 || (code !== undefined && refusalOf(code)));
    if (isExplained && codes.some((code) => code !== 0)) return undefined;
    this.#isSpent = true;
    return troubleOf(settled.trouble);
  }

  /** Sends one chunk; one outcome for each slot, in the same order. Throws only PUBLISH_STUCK. */
  async send(slots: readonly Slot[]): Promise<readonly SlotOutcome[]> {
    const { requestTimeoutMs } = this.#options;
    this.#guard.begin();
    const settled = await this.#calls.settle(
      "send",
      this.#desk.sendBatch({
        acks: -1,
        // How long the broker waits for its replicas: it shall say so before we stop listening.
        timeout: Math.ceil(requestTimeoutMs * 0.8),
        topicMessages: byTopic(slots),
      }),
    );
    if ("trouble" in settled) {
      this.#isSpent = true;
      const trouble = troubleOf(settled.trouble);
      return slots.map(() => ({ kind: "unknown", trouble }));
    }
    return this.#judgeAll(slots, settled.value as readonly PartitionAnswer[]);
  }

  /** Any other call to the desk. When it does not end well, the producer is spent. Throws only PUBLISH_STUCK. */
  async ask<T>(what: string, call: (desk: Desk) => Promise<T>): Promise<Settled<T>> {
    const settled = await this.#calls.settle(what, call(this.#desk));
    if ("trouble" in settled) this.#isSpent = true;
    return settled;
  }

  #judgeAll(slots: readonly Slot[], answers: readonly PartitionAnswer[]): readonly SlotOutcome[] {
    const byPlace = new Map<string, PartitionAnswer[]>();
    for (const answer of answers) {
      const place = placeOf(answer.topicName, answer.partition);
      byPlace.set(place, [...(byPlace.get(place) ?? []), answer]);
    }
    return slots.map(({ topic, partition, messages }) => {
      const place = placeOf(topic, partition);
      const outcome = judge(byPlace.get(place) ?? [], messages.length, this.#lastOffsets.get(place));
      if (outcome.kind === "acked") this.#lastOffsets.set(place, outcome.lastOffset);
      if (outcome.kind === "unknown") this.#isSpent = true;
      if (outcome.kind === "refused" && outcome.refusal.cause === "topic") this.#isStale = true;
      return outcome;
    });
  }

  /**
   * Resolves when this producer can do nothing any more. Requests that are still out are waited for
   * first, as long as a request may take: what they did shall have happened before the next producer
   * sends. Idempotent. Throws only PUBLISH_STUCK.
   */
  async dispose(): Promise<void> {
    if (this.#isSpent) this.#sockets.taint();
    this.#isSpent = true;
    await this.#calls.settle("disconnect", this.#desk.disconnect());
    this.#sockets.sever();
  }

  /** Leaderless partitions are hidden from kafkajs, which would refuse the whole topic for one of them. */
  #noteTopics({ topicMetadata }: MetadataResponse): void {
    for (const { topic, topicErrorCode, partitionMetadata } of topicMetadata) {
      const leaderless = new Set<number>();
      for (const partition of partitionMetadata) {
        if (partition.leader < 0) leaderless.add(partition.partitionId);
        partition.partitionErrorCode = 0;
      }
      const partitions = partitionMetadata.length;
      // With nothing to ask for, kafkajs asks for all the topics of the cluster.
      if (this.#asked.has(topic))
        this.#sightings.set(topic, { errorCode: topicErrorCode, partitions, leaderless });
    }
  }
}

function placeOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

/** A parcel for each slot: to kafkajs it is a message like any other. */
function byTopic(slots: readonly Slot[]): { topic: string; messages: Message[] }[] {
  const topics = new Map<string, Message[]>();
  for (const slot of slots) {
    const sofar = topics.get(slot.topic);
    if (sofar === undefined) topics.set(slot.topic, [parcelOf(slot)]);
    else sofar.push(parcelOf(slot));
  }
  return Array.from(topics, ([topic, messages]) => ({ topic, messages }));
}

function pass(
  level: logLevel,
  message: unknown,
  broker: unknown,
  remark: (remark: PublisherRemark) => void,
): void {
  const sentence = troubleOf(message);
  remark({
    level: level === logLevel.ERROR ? "warn" : "debug",
    message: typeof broker === "string" ? `${broker}: ${sentence}` : sentence,
  });
}
