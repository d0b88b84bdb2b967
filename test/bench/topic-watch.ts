/** How many records a topic has by now: the only sign of progress that every way into Kafka shares. */
import { type Admin, Kafka, logLevel } from "kafkajs";
import { systemClock } from "../../src/foundation/clock.ts";
import { repairKafkajs } from "../../src/publisher/kafkajs-repairs.ts";
import { machineMs } from "./machine-clock.ts";
import type { Place } from "./stage.ts";

export interface Mark {
  readonly ms: number;
  readonly records: number;
}

const everyMs = 25;
const timeoutMs = 600_000;

export class TopicWatch {
  readonly #admin: Admin;
  readonly #topic: string;

  private constructor(admin: Admin, topic: string) {
    this.#admin = admin;
    this.#topic = topic;
  }

  static async open({ brokers, topic }: Place): Promise<TopicWatch> {
    repairKafkajs();
    const admin = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    return new TopicWatch(admin, topic);
  }

  async records(): Promise<number> {
    const offsets = await this.#admin.fetchTopicOffsets(this.#topic);
    return offsets.reduce((sum, { high }) => sum + Number(high), 0);
  }

  /** Looks until the topic has so many records, and tells what it had at each look that found more. */
  async follow(events: number): Promise<Mark[]> {
    const marks: Mark[] = [];
    const deadlineMs = machineMs() + timeoutMs;
    for (;;) {
      const records = await this.records();
      if (records > (marks.at(-1)?.records ?? 0)) marks.push({ ms: machineMs(), records });
      if (records >= events) return marks;
      if (machineMs() > deadlineMs) throw new Error(`the topic is stuck at ${records} of ${events} records`);
      await systemClock.sleep(everyMs);
    }
  }

  close(): Promise<void> {
    return this.#admin.disconnect();
  }
}
