/**
 * The consumer of a trial: topics of its own, read from the beginning by a group of its own, each
 * message handed on once in the order of its partition.
 */
import { type EachBatchPayload, Kafka, logLevel } from "kafkajs";
import { messageOf, OutriderError } from "../../foundation/errors.ts";
import { repairKafkajs } from "../../publisher/kafkajs-repairs.ts";
import type { kafkaOptionsOf } from "../../service/config.ts";

export interface Arrival {
  readonly topic: string;
  /** Topic and partition, or whatever keeps order where it arrived. */
  readonly partition: string;
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: string | Uint8Array;
}

export interface KafkaReceptionParts {
  readonly options: ReturnType<typeof kafkaOptionsOf>;
  readonly topics: readonly string[];
  readonly groupId: string;
  onArrival(arrival: Arrival): void;
  /** The consumer gave up. */
  onFailed(error: OutriderError): void;
}

const partitionsPerTopic = 6;
const sessionTimeoutMs = 10_000;
const heartbeatMs = 2_000;
const fetchWaitMs = 250;
const metadataRefreshMs = 60_000;

export class KafkaReception {
  readonly #parts: KafkaReceptionParts;
  readonly #kafka: Kafka;
  readonly #consumer: ReturnType<Kafka["consumer"]>;
  /** Next offset by topic and partition. A group that rebalances reads some messages again. */
  readonly #next = new Map<string, bigint>();
  #onProgress: () => void = () => undefined;

  constructor(parts: KafkaReceptionParts) {
    const { brokers, clientId, tls, sasl, connectionTimeoutMs, requestTimeoutMs } = parts.options;
    this.#parts = parts;
    repairKafkajs();
    this.#kafka = new Kafka({
      brokers: [...brokers],
      clientId: `${clientId}-trial`,
      ssl: tls === null ? false : dropUndefined({ ca: tls.ca, cert: tls.cert, key: tls.key }),
      ...(sasl === null ? undefined : { sasl: saslOf(sasl) }),
      connectionTimeout: connectionTimeoutMs,
      requestTimeout: requestTimeoutMs,
      logLevel: logLevel.NOTHING,
    });
    this.#consumer = this.#kafka.consumer({
      groupId: parts.groupId,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: sessionTimeoutMs,
      heartbeatInterval: heartbeatMs,
      maxWaitTimeInMs: fetchWaitMs,
      metadataMaxAge: metadataRefreshMs,
      allowAutoTopicCreation: false,
    });
  }

  async createTopics(): Promise<void> {
    await this.#administer((admin) =>
      admin.createTopics({
        topics: this.#parts.topics.map((topic) => ({ topic, numPartitions: partitionsPerTopic })),
        waitForLeaders: true,
      }),
    );
  }

  async deleteTopics(): Promise<void> {
    await this.#administer(async (admin) => {
      await admin.deleteGroups([this.#parts.groupId]);
      await admin.deleteTopics({ topics: [...this.#parts.topics] });
    });
  }

  /** Resolves once the consumer has its partitions: from then on nothing can be missed. */
  async start(): Promise<void> {
    const joined = new Promise<void>((resolve) => {
      this.#consumer.on(this.#consumer.events.GROUP_JOIN, () => resolve());
    });
    this.#consumer.on(this.#consumer.events.CRASH, ({ payload }) => {
      if (!payload.restart) this.#parts.onFailed(consumerError(payload.error));
    });
    try {
      await this.#consumer.connect();
      await this.#consumer.subscribe({ topics: [...this.#parts.topics], fromBeginning: true });
      await this.#consumer.run({ autoCommit: false, eachBatch: async (payload) => this.#take(payload) });
    } catch (error) {
      throw consumerError(error);
    }
    await joined;
  }

  #take({ batch, resolveOffset }: EachBatchPayload): void {
    const { topic } = batch;
    const partition = `${topic}/${batch.partition}`;
    for (const { key, headers, value, offset } of batch.messages) {
      if (BigInt(offset) < (this.#next.get(partition) ?? 0n)) continue;
      this.#parts.onArrival({
        topic,
        partition,
        key: key?.toString() ?? "",
        headers: textsOf(headers ?? {}),
        payload: value ?? "",
      });
    }
    this.#next.set(partition, BigInt(batch.lastOffset()) + 1n);
    resolveOffset(batch.lastOffset());
    this.#onProgress();
  }

  /** Resolves when all that is in the topics now has been handed on, or the signal fires. */
  async drain(signal: AbortSignal): Promise<void> {
    const ends = new Map<string, bigint>();
    await this.#administer(async (admin) => {
      for (const topic of this.#parts.topics) {
        for (const { partition, high } of await admin.fetchTopicOffsets(topic))
          ends.set(`${topic}/${partition}`, BigInt(high));
      }
    });
    const isDrained = () => [...ends].every(([partition, end]) => (this.#next.get(partition) ?? 0n) >= end);
    await new Promise<void>((resolve) => {
      this.#onProgress = () => {
        if (isDrained() || signal.aborted) resolve();
      };
      signal.addEventListener("abort", this.#onProgress, { once: true });
      this.#onProgress();
    });
  }

  async stop(): Promise<void> {
    await this.#consumer.disconnect();
  }

  async #administer(work: (admin: ReturnType<Kafka["admin"]>) => Promise<unknown>): Promise<void> {
    const admin = this.#kafka.admin();
    try {
      await admin.connect();
      await work(admin);
    } catch (error) {
      throw consumerError(error);
    } finally {
      await admin.disconnect();
    }
  }
}

function consumerError(thrown: unknown): OutriderError {
  return new OutriderError("BROKER_UNAVAILABLE", `the consumer of this trial: ${messageOf(thrown)}`, {
    cause: thrown,
    repair: "check that Kafka runs at the address in KAFKA_BROKERS and lets this login create topics",
  });
}

type Sasl = NonNullable<KafkaReceptionParts["options"]["sasl"]>;

/** kafkajs wants the mechanism as a literal; this spells the three of them out for the compiler. */
function saslOf({ mechanism, username, password }: Sasl) {
  if (mechanism === "plain") return { mechanism, username, password } as const;
  if (mechanism === "scram-sha-256") return { mechanism, username, password } as const;
  return { mechanism, username, password } as const;
}

function dropUndefined(tls: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const given: Record<string, string> = {};
  for (const [name, text] of Object.entries(tls)) if (text !== undefined) given[name] = text;
  return given;
}

function textsOf(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
