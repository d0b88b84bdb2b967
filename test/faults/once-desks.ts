/** Counters of a transactional producer that do what the real one never does. */
import type { Producer, RecordMetadata, Transaction } from "kafkajs";
import { systemClock } from "../../src/foundation/clock.ts";
import { type Parcel, parcelOf } from "../../src/publisher/kafka-produce-request.ts";
import type { KafkaProducer, ProducerDesk, ProducerMake } from "../../src/publisher/kafka-producer.ts";
import { ProducerSuccession } from "../../src/publisher/kafka-succession.ts";
import { TransactionDesk } from "../../src/publisher/kafka-transaction-desk.ts";
import type { SuccessionMaker } from "../../src/publisher/kafka-transactions.ts";
import { changed } from "./changed.ts";

/** All that a desk does, done by another one behind it. */
class DeskBefore extends TransactionDesk {
  protected inner: TransactionDesk;

  constructor(producer: Producer) {
    super(producer, systemClock);
    this.inner = new TransactionDesk(producer, systemClock);
  }

  override connect = () => this.inner.connect();
  override begin = () => this.inner.begin();
  override sendBatch: ProducerDesk["sendBatch"] = (batch) => this.inner.sendBatch(batch);
  override record: TransactionDesk["record"] = (place, number) => this.inner.record(place, number);
  override commit = () => this.inner.commit();
  override abort = () => this.inner.abort();
  override disconnect = () => this.inner.disconnect();
}

/** The same make, with desks of another kind at its producers. */
function withDesks(
  make: ProducerMake<TransactionDesk>,
  deskOf: (producer: Producer) => TransactionDesk,
): ProducerMake<TransactionDesk> {
  return {
    ...make,
    desk: (kafka) => {
      let made: Producer | undefined;
      const watched = changed(kafka, {
        producer: (config) => {
          made = kafka.producer(config);
          return made;
        },
      });
      const plain = make.desk(watched);
      return made === undefined ? plain : deskOf(made);
    },
  };
}

/** Aborts what went wrong, and goes on with the same producer: its id, its epoch, its sequence numbers. */
class ReusedDesk extends DeskBefore {
  readonly #watched: Producer;
  #last: Transaction | undefined;

  constructor(producer: Producer) {
    super(producer);
    this.#watched = changed(producer, {
      transaction: async () => {
        this.#last = await producer.transaction();
        return this.#last;
      },
    });
    this.inner = new TransactionDesk(this.#watched, systemClock);
  }

  async restart(): Promise<void> {
    if (this.#last?.isActive() === true) await this.#last.abort();
    this.inner = new TransactionDesk(this.#watched, systemClock);
    await this.inner.begin();
  }
}

class ReusingSuccession extends ProducerSuccession<TransactionDesk> {
  #kept: KafkaProducer<TransactionDesk> | undefined;

  override async current(): Promise<KafkaProducer<TransactionDesk>> {
    this.#kept ??= await super.current();
    return this.#kept;
  }

  override get inUse(): KafkaProducer<TransactionDesk> | undefined {
    return this.#kept;
  }

  override async discard(): Promise<void> {
    await this.#kept?.ask("abort", (desk) => (desk as ReusedDesk).restart());
  }
}

export const reusing: SuccessionMaker = (make, ...rest) =>
  new ReusingSuccession(
    withDesks(make, (producer) => new ReusedDesk(producer)),
    ...rest,
  );

/**
 * Leaves a partition out of one send and resolves all the same, as kafkajs does when a leader moves to a
 * broker that has answered already. `isBelieved`: nobody asks for the answer that is missing.
 */
class LossyDesk extends DeskBefore {
  readonly #lose: () => boolean;
  readonly #isBelieved: boolean;

  constructor(producer: Producer, lose: () => boolean, isBelieved: boolean) {
    super(producer);
    this.#lose = lose;
    this.#isBelieved = isBelieved;
  }

  override sendBatch: ProducerDesk["sendBatch"] = async (batch) => {
    const [first, ...others] = batch.topicMessages ?? [];
    const partition = first?.messages[0]?.partition;
    const kept = first?.messages.filter((message) => message.partition !== partition) ?? [];
    if (first === undefined || partition === undefined || kept.length === 0 || !this.#lose())
      return this.inner.sendBatch(batch);
    const answers = await this.inner.sendBatch({
      ...batch,
      topicMessages: [{ topic: first.topic, messages: kept }, ...others],
    });
    const invented: RecordMetadata = {
      topicName: first.topic,
      partition,
      errorCode: 0,
      baseOffset: "900000000",
    };
    return this.#isBelieved ? [...answers, invented] : answers;
  };
}

/**
 * Sends a partition twice in one transaction, as kafkajs does when its leader moves while the part of another
 * broker is repeated. `isBelieved`: nobody sees that there are two answers.
 */
class DoublingDesk extends DeskBefore {
  readonly #double: () => boolean;
  readonly #isBelieved: boolean;

  constructor(producer: Producer, double: () => boolean, isBelieved: boolean) {
    super(producer);
    this.#double = double;
    this.#isBelieved = isBelieved;
  }

  override sendBatch: ProducerDesk["sendBatch"] = async (batch) => {
    const answers = await this.inner.sendBatch(batch);
    const [first] = batch.topicMessages ?? [];
    const partition = first?.messages[0]?.partition;
    if (first === undefined || partition === undefined || !this.#double()) return answers;
    const slots = (first.messages as unknown as readonly Parcel[]).flatMap((parcel) =>
      parcel.partition === partition ? [parcel.slot] : [],
    );
    // New parcels: a parcel that was sent before is refused, and so nothing would be doubled.
    const messages = slots.map(parcelOf);
    const again = await this.inner.sendBatch({ ...batch, topicMessages: [{ topic: first.topic, messages }] });
    return this.#isBelieved ? answers : [...answers, ...again];
  };
}

/** Producers with one of these desks; `strike` says whether this send is the one. */
function desksOf(
  Desk: new (producer: Producer, strike: () => boolean, isBelieved: boolean) => TransactionDesk,
  strike: () => boolean,
  isBelieved: boolean,
): SuccessionMaker {
  return (make, ...rest) =>
    new ProducerSuccession(
      withDesks(make, (producer) => new Desk(producer, strike, isBelieved)),
      ...rest,
    );
}

export const losing = (strike: () => boolean, isBelieved: boolean) => desksOf(LossyDesk, strike, isBelieved);

export const doubling = (strike: () => boolean, isBelieved: boolean) =>
  desksOf(DoublingDesk, strike, isBelieved);
