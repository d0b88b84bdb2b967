/**
 * A transactional kafkajs producer at its counter. To kafkajs, being connected and being the one owner of
 * a transactional.id are two things; here `connect` does both, so that whoever is connected has fenced all
 * who were there before.
 */
import type { Kafka, KafkaConfig, Producer, Transaction } from "kafkajs";
import type { Clock } from "../foundation/clock.ts";
import { invariant } from "../foundation/errors.ts";
import { clientConfigOf, type KafkaOptions, producerConfig } from "./kafka-options.ts";
import type { ProducerDesk, ProducerMake } from "./kafka-producer.ts";
import { placeOnce } from "./kafka-send-guard.ts";
import { isNotYet } from "./kafkajs-repairs.ts";

/**
 * For taking over, and for the number: right after a commit the broker answers CONCURRENT_TRANSACTIONS until
 * it has carried the commit out, some milliseconds later. The first pause is short, because kafkajs's own of
 * 300 ms would be the price of every transaction. kafkajs does not let a transactional producer go without
 * repeating its sends as well; `kafka-send-guard.ts` does not let it.
 */
const retry = { retries: 8, initialRetryTime: 8, factor: 0, multiplier: 1.6, maxRetryTime: 200 };

export function transactionalClientConfigOf(options: KafkaOptions, brokers: readonly string[]): KafkaConfig {
  return { ...clientConfigOf(options, brokers), retry };
}

/** Where the number of the last batch is kept: an offset of a consumer group. */
export interface ProgressPlace {
  readonly groupId: string;
  readonly topic: string;
  readonly partition: number;
  /** So many must the topic have. */
  readonly partitions: number;
}

/** While the transaction before is being carried out; as long together as kafkajs's own repeats. */
const notYetPausesMs = [8, 13, 20, 33, 52, 84, 134, 200];

export class TransactionDesk implements ProducerDesk {
  readonly #producer: Producer;
  readonly #clock: Clock;
  #transaction: Transaction | undefined;

  constructor(producer: Producer, clock: Clock) {
    this.#producer = producer;
    this.#clock = clock;
  }

  async connect(): Promise<void> {
    await this.#producer.connect();
    await this.begin();
  }

  /** A transaction costs the broker nothing until something is sent in it. */
  async begin(): Promise<void> {
    this.#transaction ??= await this.#producer.transaction();
  }

  /** Nothing is asked of the transaction when there is nothing to send: then it is a look at the topics. */
  sendBatch: ProducerDesk["sendBatch"] = (batch) => {
    const isEmpty = (batch.topicMessages ?? []).every(({ messages }) => messages.length === 0);
    if (isEmpty) return this.#producer.sendBatch(batch);
    invariant(this.#transaction !== undefined, "a send outside of a transaction");
    return this.#transaction.sendBatch(batch);
  };

  /**
   * Adds the number, without which a transaction may not end well: it is what a takeover goes by. Sent
   * along with the events, it may be the first that the broker hears of the transaction, and unlike a
   * send kafkajs does not repeat it when the broker says "not yet".
   */
  async record({ groupId, topic, partition }: ProgressPlace, number: number): Promise<void> {
    const transaction = this.#transaction;
    invariant(transaction !== undefined, "a number outside of a transaction");
    const topics = [{ topic, partitions: [{ partition, offset: String(number) }] }];
    for (const pauseMs of [...notYetPausesMs, undefined]) {
      try {
        await transaction.sendOffsets({ consumerGroupId: groupId, topics });
        return;
      } catch (error) {
        if (pauseMs === undefined || !isNotYet(error)) throw error;
        await this.#clock.sleep(pauseMs);
      }
    }
  }

  async commit(): Promise<void> {
    const transaction = this.#transaction;
    invariant(transaction !== undefined, "a commit outside of a transaction");
    this.#transaction = undefined;
    await transaction.commit();
  }

  async abort(): Promise<void> {
    const transaction = this.#transaction;
    this.#transaction = undefined;
    await transaction?.abort();
  }

  disconnect(): Promise<void> {
    return this.#producer.disconnect();
  }
}

/** Producers that all have this transactional.id: each fences the ones before it. */
export function transactionalMake(
  transactionalId: string,
  transactionTimeoutMs: number,
  clock: Clock,
): ProducerMake<TransactionDesk> {
  return {
    isRepeating: true,
    client: transactionalClientConfigOf,
    desk: (kafka: Kafka) =>
      new TransactionDesk(
        kafka.producer({
          ...producerConfig,
          createPartitioner: placeOnce,
          idempotent: true,
          transactionalId,
          transactionTimeout: transactionTimeoutMs,
          // Events and number side by side, each one request at a time.
          maxInFlightRequests: 2,
          retry,
        }),
        clock,
      ),
  };
}
