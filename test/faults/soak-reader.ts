/** Reads a topic to its end and on, each record once, whatever the consumer group does. */
import { type Consumer, Kafka, logLevel } from "kafkajs";

export class SoakReader {
  readonly #consumer: Consumer;
  /** The next offset of each partition: a group that rebalances reads some records again. */
  readonly #next = new Map<number, bigint>();

  private constructor(consumer: Consumer) {
    this.#consumer = consumer;
  }

  static async open(
    brokers: readonly string[],
    topic: string,
    onEvent: (eventId: string) => void,
  ): Promise<SoakReader> {
    // A reader that gives up quietly would look like relays that do.
    const retry = { retries: 10, maxRetryTime: 2_000, restartOnFailure: async () => true };
    const kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, retry });
    const consumer = kafka.consumer({ groupId: `${topic}-reader`, maxWaitTimeInMs: 200 });
    const reader = new SoakReader(consumer);
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachBatch: async ({ batch }) => {
        for (const { offset, headers } of batch.messages) {
          if (BigInt(offset) < (reader.#next.get(batch.partition) ?? 0n)) continue;
          reader.#next.set(batch.partition, BigInt(offset) + 1n);
          onEvent(String(headers?.event_id));
        }
      },
    });
    return reader;
  }

  async close(): Promise<void> {
    await this.#consumer.disconnect();
  }
}
