/** One producer after another: each until its first failure, the next only when the last is settled. */
import type { Clock } from "../foundation/clock.ts";
import { OutriderError } from "../foundation/errors.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { KafkaProducer, type ProducerDesk, type ProducerMake } from "./kafka-producer.ts";
import type { PublisherRemark } from "./publisher.ts";

export class ProducerSuccession<Desk extends ProducerDesk> {
  readonly #make: ProducerMake<Desk>;
  readonly #options: KafkaOptions;
  readonly #remark: (remark: PublisherRemark) => void;
  readonly #clock: Clock;
  #producer: KafkaProducer<Desk> | undefined;
  /** Index of the broker to ask first: the one that answered last. */
  #seed = 0;

  constructor(
    make: ProducerMake<Desk>,
    options: KafkaOptions,
    remark: (remark: PublisherRemark) => void,
    clock: Clock,
  ) {
    this.#make = make;
    this.#options = options;
    this.#remark = remark;
    this.#clock = clock;
  }

  /** The producer in use, or a new one. Throws BROKER_UNAVAILABLE, BROKER_REFUSED or PUBLISH_STUCK. */
  async current(): Promise<KafkaProducer<Desk>> {
    if (this.#producer !== undefined && !this.#producer.isSpent) return this.#producer;
    await this.discard();
    this.#producer = await this.#open();
    return this.#producer;
  }

  /** The producer in use; undefined when there is none, or when it is spent. */
  get inUse(): KafkaProducer<Desk> | undefined {
    return this.#producer?.isSpent === false ? this.#producer : undefined;
  }

  /** Ends the producer in use, if there is one. Throws only PUBLISH_STUCK. */
  async discard(): Promise<void> {
    const producer = this.#producer;
    this.#producer = undefined;
    await producer?.dispose();
  }

  /** Asks one broker after the other: without retries, kafkajs tries only the first of its list. */
  async #open(): Promise<KafkaProducer<Desk>> {
    const { brokers } = this.#options;
    const troubles: string[] = [];
    for (const _ of brokers) {
      const order = [...brokers.slice(this.#seed), ...brokers.slice(0, this.#seed)];
      const producer = new KafkaProducer(this.#make, this.#options, order, this.#remark, this.#clock);
      try {
        await producer.connect();
        return producer;
      } catch (error) {
        await producer.dispose();
        if (!(error instanceof OutriderError) || !error.retriable) throw error;
        troubles.push(error.message);
        this.#seed = (this.#seed + 1) % brokers.length;
      }
    }
    throw new OutriderError("BROKER_UNAVAILABLE", troubles.join("; "), {
      repair: "Check KAFKA_BROKERS and that a broker is up; Outrider keeps trying.",
      retriable: true,
    });
  }
}
