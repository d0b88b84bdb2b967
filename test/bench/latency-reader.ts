/**
 * A process of its own that reads a topic as a consumer does, committed records only, and remembers when
 * each event was handed to it. Says "ready" once nothing can be missed any more; answers when it has
 * read as many different events as it was told to wait for.
 */
import { randomUUID } from "node:crypto";
import { Kafka, logLevel } from "kafkajs";
import { repairKafkajs } from "../../src/publisher/kafkajs-repairs.ts";
import { machineMs } from "./machine-clock.ts";

export type ReaderOrder =
  | { readonly type: "read"; readonly brokers: string; readonly topic: string }
  | { readonly type: "expect"; readonly events: number };

export interface Received {
  /** By the number in the payload; the first time that it came. */
  readonly receivedMs: readonly number[];
  readonly duplicates: number;
}

const receivedMs: number[] = [];
let different = 0;
let duplicates = 0;
let expected = Number.POSITIVE_INFINITY;

function take(value: Buffer | null, nowMs: number): void {
  const { n } = JSON.parse(String(value)) as { n: number };
  // Sent to warm everything up.
  if (n < 0) return;
  if (receivedMs[n] === undefined) different += 1;
  else duplicates += 1;
  receivedMs[n] ??= nowMs;
}

function answer(): void {
  if (different < expected) return;
  const received: Received = { receivedMs, duplicates };
  process.send?.(received, () => process.exit(0));
}

async function read(brokers: string, topic: string): Promise<void> {
  repairKafkajs();
  const kafka = new Kafka({
    brokers: brokers.split(","),
    clientId: "bench reader",
    logLevel: logLevel.ERROR,
  });
  const consumer = kafka.consumer({ groupId: randomUUID(), readUncommitted: false });
  const joined = new Promise<void>((resolve) => {
    consumer.on(consumer.events.GROUP_JOIN, () => resolve());
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      const nowMs = machineMs();
      for (const { value } of batch.messages) take(value, nowMs);
      answer();
    },
  });
  await joined;
  process.send?.("ready");
}

process.on("message", (message) => {
  const order = message as ReaderOrder;
  if (order.type === "expect") {
    expected = order.events;
    answer();
    return;
  }
  read(order.brokers, order.topic).catch((error) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  });
});
