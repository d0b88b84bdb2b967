/** How many records a topic has by now: the only sign of progress that every way into Kafka shares. */
import { type Admin, Kafka, logLevel } from "kafkajs";
import { repairKafkajs } from "../../src/publisher/kafkajs-repairs.ts";
import type { Place } from "./stage.ts";

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

  close(): Promise<void> {
    return this.#admin.disconnect();
  }
}
