/**
 * How many batches of a shard group are committed, as Kafka knows it: the committed offset of a consumer
 * group that never has members, for the partition with the group's number. The topic only lends its
 * partitions their names and stays empty; brokers accept offsets for topics that exist.
 */
import { type Admin, Kafka, logLevel } from "kafkajs";
import type { Clock } from "../foundation/clock.ts";
import { OutriderError } from "../foundation/errors.ts";
import { KafkaCalls } from "./kafka-calls.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { connectErrorOf, troubleOf } from "./kafka-outcome.ts";
import { Sockets } from "./kafka-sockets.ts";
import {
  OffsetFetchRefused,
  passingCodes,
  type StableOffsets,
  stableOffsetFetch,
  unstableOffsetCommit,
} from "./kafka-stable-offsets.ts";
import { type ProgressPlace, transactionalClientConfigOf } from "./kafka-transaction-desk.ts";
import { readResponses } from "./kafkajs-repairs.ts";

/** Between two questions while the coordinator is still carrying out the end of a transaction. */
const pauseMs = 20;

const topicAlreadyExists = 36;

export class KafkaProgress {
  readonly #options: KafkaOptions;
  readonly #clock: Clock;

  constructor(options: KafkaOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /**
   * Looks whether the number can be read, and makes the topic where it is missing. Does not wait for it to
   * become stable: whoever left a transaction open may be gone, and only the takeover after this ends it.
   * Throws as `read` does.
   */
  async look(place: ProgressPlace): Promise<void> {
    await this.#ask(place, 0);
  }

  /**
   * The number committed last; null where there is none. Makes the topic where it is missing. Throws
   * BROKER_UNAVAILABLE or BROKER_REFUSED.
   */
  async read(place: ProgressPlace): Promise<number | null> {
    const offsets = await this.#ask(place, this.#options.requestTimeoutMs);
    if (offsets !== "unstable") return offsets.get(place.partition) ?? null;
    throw new OutriderError(
      "BROKER_UNAVAILABLE",
      `Kafka has not ended the last transaction of "${place.groupId}" yet`,
      { repair: "Outrider keeps trying.", retriable: true },
    );
  }

  /** `unstable`: a transaction that was open was not ended for so long. */
  async #ask(
    { groupId, topic, partition, partitions }: ProgressPlace,
    patienceMs: number,
  ): Promise<StableOffsets | "unstable"> {
    const { sockets, admin } = this.#admin();
    let isStable = false;
    let offsets: StableOffsets = new Map();
    const question = { groupId, topic, partitions: [partition] };
    const replaceOffsetFetch = () =>
      stableOffsetFetch(question, (answer) => {
        offsets = answer;
        isStable = true;
      });
    readResponses(sockets.factory, { replaceOffsetFetch });
    await this.#run(sockets, admin, async () => {
      await ensureTopic(admin, topic, partitions);
      const startedMs = this.#clock.monotonicMs();
      for (;;) {
        try {
          await admin.fetchOffsets({ groupId, topics: [] });
          return;
        } catch (error) {
          const code = error instanceof Error ? passingCodeOf(error) : undefined;
          if (code === undefined) throw error;
          const waitedMs = this.#clock.monotonicMs() - startedMs;
          if (code === unstableOffsetCommit && waitedMs >= patienceMs) return;
          if (waitedMs >= this.#options.requestTimeoutMs) throw error;
          await this.#clock.sleep(pauseMs);
        }
      }
    });
    return isStable ? offsets : "unstable";
  }

  #admin(): { sockets: Sockets; admin: Admin } {
    const sockets = new Sockets();
    const kafka = new Kafka({
      ...transactionalClientConfigOf(this.#options, this.#options.brokers),
      socketFactory: sockets.factory,
      logLevel: logLevel.NOTHING,
    });
    return { sockets, admin: kafka.admin() };
  }

  async #run(sockets: Sockets, admin: Admin, work: () => Promise<void>): Promise<void> {
    const calls = new KafkaCalls(sockets, this.#options, this.#clock);
    const settled = await calls.settle(
      "question",
      admin.connect().then(() => work()),
    );
    await calls.settle("disconnect", admin.disconnect());
    sockets.sever();
    if (!("trouble" in settled)) return;
    if (settled.trouble instanceof OutriderError) throw settled.trouble;
    throw connectErrorOf(settled.trouble, this.#options.brokers.join(","));
  }
}

/** The code, if it is one that passes by itself. */
function passingCodeOf(error: Error): number | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof OffsetFetchRefused && passingCodes.has(cause.errorCode)) return cause.errorCode;
  return undefined;
}

async function ensureTopic(admin: Admin, topic: string, partitions: number): Promise<void> {
  const known = await partitionsOf(admin, topic);
  if (known >= partitions) return;
  if (known > 0) throw tooFew(topic, known, partitions);
  await create(admin, topic, partitions);
}

/** 0 when there is no such topic. */
async function partitionsOf(admin: Admin, topic: string): Promise<number> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    return topics[0]?.partitions.length ?? 0;
  } catch (error) {
    if (codeOf(error) === 3) return 0;
    throw error;
  }
}

async function create(admin: Admin, topic: string, partitions: number): Promise<void> {
  try {
    const made = { topic, numPartitions: partitions, replicationFactor: -1 };
    await admin.createTopics({ topics: [made], waitForLeaders: true });
  } catch (error) {
    if (codeOf(error) === topicAlreadyExists) return;
    throw new OutriderError(
      "BROKER_REFUSED",
      `exactly-once needs the topic "${topic}", and it cannot be created: ${troubleOf(error)}`,
      {
        repair: `Create it: kafka-topics.sh --create --topic ${topic} --partitions ${partitions} (it stays empty), or grant CREATE on it.`,
        cause: error,
      },
    );
  }
}

function tooFew(topic: string, known: number, needed: number): OutriderError {
  return new OutriderError(
    "BROKER_REFUSED",
    `exactly-once needs ${needed} partitions in the topic "${topic}", which has ${known}`,
    { repair: `kafka-topics.sh --alter --topic ${topic} --partitions ${needed}` },
  );
}

/** Kafka's error code inside of what kafkajs threw. */
function codeOf(error: unknown): number | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { code, errors } = cause as { code?: unknown; errors?: unknown };
    if (typeof code === "number") return code;
    if (Array.isArray(errors) && errors.length > 0) return codeOf(errors[0]);
  }
  return undefined;
}
