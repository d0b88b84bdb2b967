/** Topics of a test's own: made, and read whole from their first record to their last. */
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { Kafka, logLevel } from "kafkajs";
import { decidedRecords, type LoggedRecord } from "./decided-records.ts";

/** As `inject("kafkaBrokers")` gives them, or one by one. */
export type Brokers = string | readonly string[];

export interface NewTopic {
  readonly topic: string;
  /** Default 1. */
  readonly partitions?: number;
  /** Topic settings, such as `max.message.bytes`. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface ReceivedMessage {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  /** The value as UTF-8 text. */
  readonly value: string | null;
  /** The value as it is. */
  readonly bytes: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
}

export type Isolation = "committed" | "decided" | "uncommitted";

export interface ReadOptions {
  /**
   * `committed` is what a consumer gets: nothing of aborted transactions, and nothing behind an open one.
   * `decided` goes on behind open ones. Default `uncommitted`.
   */
  readonly isolation?: Isolation;
}

export function uniqueTopic(name: string): string {
  return `${name}-${randomBytes(5).toString("hex")}`;
}

export async function createTopics(brokers: Brokers, topics: readonly NewTopic[]): Promise<void> {
  const kafka = new Kafka({ brokers: addressesOf(brokers), logLevel: logLevel.NOTHING, retry: quickRetry });
  const admin = kafka.admin();
  await admin.connect();
  try {
    await admin.createTopics({
      // Its own wait gives up when a broker has not heard of the topic yet, and is over before the
      // leaders know that they are; a producer without retries would be refused.
      waitForLeaders: false,
      topics: topics.map(({ topic, partitions = 1, settings = {} }) => ({
        topic,
        numPartitions: partitions,
        configEntries: Object.entries(settings).map(([name, value]) => ({ name, value })),
      })),
    });
    for (const { topic } of topics) await untilReady(() => admin.fetchTopicOffsets(topic));
  } finally {
    await admin.disconnect();
  }
}

/** All records of a topic up to its end at this moment, by partition, then offset. */
export function readTopic(
  brokers: Brokers,
  topic: string,
  { isolation = "uncommitted" }: ReadOptions = {},
): Promise<ReceivedMessage[]> {
  return untilReady(async () => {
    const cluster = connectTo(addressesOf(brokers));
    try {
      await cluster.connect();
      return await readWhole(cluster, topic, isolation);
    } finally {
      await cluster.disconnect();
    }
  });
}

async function readWhole(
  cluster: KafkajsCluster,
  topic: string,
  isolation: Isolation,
): Promise<ReceivedMessage[]> {
  await cluster.addTargetTopic(topic);
  const partitions = cluster.findTopicPartitionMetadata(topic).sort((a, b) => a.partitionId - b.partitionId);
  const ids = partitions.map(({ partitionId }) => partitionId);
  const stable = isolation === "committed" ? await endsOf(cluster, topic, ids, 1) : undefined;
  const ends = await endsOf(cluster, topic, ids, 0);
  const received: ReceivedMessage[] = [];
  for (const { partitionId, leader } of partitions) {
    const end = ends.get(partitionId) ?? 0;
    const whole = await readPartition(cluster, { topic, partition: partitionId, leader, end });
    const part = isolation === "uncommitted" ? whole : decidedRecords(whole);
    const stableEnd = stable?.get(partitionId) ?? end;
    // Spreading a large partition into a call would overflow the stack.
    for (const record of part)
      if (record.isControlRecord !== true && Number(record.offset) < stableEnd)
        received.push(receivedMessage(partitionId, record));
  }
  return received;
}

/** The offset after the last record; with isolation level 1, that of the first transaction still open. */
async function endsOf(
  cluster: KafkajsCluster,
  topic: string,
  ids: readonly number[],
  isolationLevel: 0 | 1,
): Promise<ReadonlyMap<number, number>> {
  cluster.isolationLevel = isolationLevel;
  const question = { topic, fromBeginning: false, partitions: ids.map((partition) => ({ partition })) };
  const [answer] = await cluster.fetchTopicsOffset([question]);
  return new Map(answer?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
}

const readyTimeoutMs = 15_000;
const readyPauseMs = 25;

/** Asks again while Kafka says that asking again may help: a leader just elected, a broker just back. */
async function untilReady<T>(ask: () => Promise<T>): Promise<T> {
  const deadlineMs = performance.now() + readyTimeoutMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isRetriable(error) || performance.now() > deadlineMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, readyPauseMs));
    }
  }
}

/** kafkajs wraps what it has retried itself in an error that is not retriable; the cause still is. */
function isRetriable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ("retriable" in error && error.retriable === true) || isRetriable(error.cause);
}

/*
 * A kafkajs consumer has to join a group before it reads, which takes seconds. Its own parts below that
 * (cluster, fetch request) read a topic in a few milliseconds. They are not public, so the version is pinned and the few members used are written down here.
 */
const require = createRequire(import.meta.url);
const Cluster = require("kafkajs/src/cluster") as new (options: object) => KafkajsCluster;
const Batch = require("kafkajs/src/consumer/batch") as new (
  topic: string,
  fetchedOffset: string,
  answer: object,
) => KafkajsBatch;
const createSocketFactory = require("kafkajs/src/network/socketFactory") as () => unknown;

interface KafkajsCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  findTopicPartitionMetadata(topic: string): { partitionId: number; leader: number }[];
  fetchTopicsOffset(topics: object[]): Promise<{ partitions: { partition: number; offset: string }[] }[]>;
  findBroker(node: { nodeId: string }): Promise<{ fetch(request: object): Promise<FetchAnswer> }>;
  isolationLevel: number;
}

interface FetchAnswer {
  readonly responses: readonly { readonly partitions: readonly object[] }[];
}

interface KafkajsRecord extends LoggedRecord {
  readonly timestamp: string;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer | string>>;
}

interface KafkajsBatch {
  /** All of them: markers, and what was aborted. */
  readonly messagesWithinOffset: readonly KafkajsRecord[];
  lastOffset(): string;
}

const quickRetry = { initialRetryTime: 20, retries: 3 };

function connectTo(brokers: string[]): KafkajsCluster {
  const silent = { info() {}, error() {}, warn() {}, debug() {}, namespace: () => silent };
  return new Cluster({
    brokers,
    isolationLevel: 0,
    logger: silent,
    socketFactory: createSocketFactory(),
    clientId: "test",
    connectionTimeout: 2_000,
    authenticationTimeout: 2_000,
    reauthenticationThreshold: 10_000,
    requestTimeout: 10_000,
    metadataMaxAge: 300_000,
    allowAutoTopicCreation: false,
    maxInFlightRequests: 1,
    retry: quickRetry,
  });
}

interface PartitionToRead {
  readonly topic: string;
  readonly partition: number;
  readonly leader: number;
  /** The offset of the next record to be written. */
  readonly end: number;
}

async function readPartition(
  cluster: KafkajsCluster,
  { topic, partition, leader, end }: PartitionToRead,
): Promise<KafkajsRecord[]> {
  const broker = await cluster.findBroker({ nodeId: String(leader) });
  const received: KafkajsRecord[] = [];
  for (let from = 0; from < end; ) {
    const answer = await broker.fetch({
      // Filtered by us: kafkajs lets records of aborted transactions through where several overlap.
      isolationLevel: 0,
      maxWaitTime: 200,
      minBytes: 1,
      maxBytes: 50_000_000,
      topics: [{ topic, partitions: [{ partition, fetchOffset: String(from), maxBytes: 50_000_000 }] }],
    });
    const batch = new Batch(topic, String(from), answer.responses[0]?.partitions[0] ?? {});
    for (const record of batch.messagesWithinOffset) if (Number(record.offset) < end) received.push(record);
    from = Math.max(from, Number(batch.lastOffset()) + 1);
  }
  return received;
}

function receivedMessage(partition: number, record: KafkajsRecord): ReceivedMessage {
  const { offset, key, value, headers, timestamp } = record;
  return {
    partition,
    offset: Number(offset),
    key: key === null ? null : key.toString(),
    value: value === null ? null : value.toString(),
    bytes: value,
    headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, text.toString()])),
    timestamp: Number(timestamp),
  };
}

function addressesOf(brokers: Brokers): string[] {
  return typeof brokers === "string" ? brokers.split(",") : [...brokers];
}
