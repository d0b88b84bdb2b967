/** Reads topics from Kafka with fetch requests alone, through the lower parts of kafkajs. */
import type { Clock } from "../foundation/clock.ts";
import { systemClock } from "../foundation/clock.ts";
import { OutriderError } from "../foundation/errors.ts";
import { clientConfigOf, type KafkaOptions } from "./kafka-options.ts";
import { connectErrorOf, troubleOf } from "./kafka-outcome.ts";
import { partitionOf } from "./kafka-partitions.ts";
import { visibleRecords } from "./kafka-records.ts";
import { Sockets } from "./kafka-sockets.ts";
import { type FetchedPartition, type KafkajsCluster, makeCluster } from "./kafkajs-cluster.ts";
import { type MetadataResponse, readResponses, repairKafkajs } from "./kafkajs-repairs.ts";
import type { Isolation, PartitionBounds, ReadRange, TopicReader, TopicRecord } from "./topic-reader.ts";

const fetchBytesMax = 4_194_304;
const fetchWaitMs = 250;
const attemptsMax = 5;
const attemptPauseMs = 200;
/** Times that a piece may come empty although there should be more, before the gap is believed. */
const emptyPiecesMax = 3;
const earliest = -2;
const latest = -1;

/** Partition to the broker that leads it; negative when nobody does. */
type Leaders = ReadonlyMap<number, number>;

export class KafkaTopicReader implements TopicReader {
  readonly #clock: Clock;
  readonly #sockets = new Sockets();
  readonly #cluster: KafkajsCluster;
  readonly #broker: string;
  readonly #leaders = new Map<string, Leaders>();
  readonly partitionOf = partitionOf;

  constructor(options: KafkaOptions, clock: Clock = systemClock) {
    repairKafkajs();
    this.#clock = clock;
    this.#broker = options.brokers[0] ?? "";
    const config = clientConfigOf({ ...options, clientId: `${options.clientId}-verify` }, options.brokers);
    readResponses(this.#sockets.factory, { readMetadata: (metadata) => this.#note(metadata) });
    this.#cluster = makeCluster({
      ...config,
      socketFactory: this.#sockets.factory,
      // Reading twice harms nobody: here kafkajs may try again by itself.
      retry: { retries: 2, initialRetryTime: 100 },
    });
  }

  async connect(): Promise<void> {
    try {
      await this.#cluster.connect();
    } catch (error) {
      throw connectErrorOf(error, this.#broker);
    }
  }

  async describe(topics: readonly string[] | "all"): Promise<ReadonlyMap<string, number>> {
    await this.#patiently("its topics", async () => {
      this.#leaders.clear();
      if (topics !== "all" && topics.length === 0) return;
      await this.#cluster.metadata({ topics: topics === "all" ? [] : topics });
    });
    return new Map([...this.#leaders].map(([topic, leaders]) => [topic, leaders.size]));
  }

  async bounds(topic: string): Promise<readonly PartitionBounds[]> {
    const lows = await this.#offsets(topic, earliest);
    const ends = await this.#offsets(topic, latest);
    return [...ends]
      .map(([partition, end]) => ({ partition, low: lows.get(partition) ?? 0, end }))
      .sort((a, b) => a.partition - b.partition);
  }

  async offsetsAt(topic: string, timestampMs: number): Promise<ReadonlyMap<number, number>> {
    const found = await this.#offsets(topic, Math.max(0, Math.floor(timestampMs)));
    return new Map([...found].filter(([, offset]) => offset >= 0));
  }

  async read(
    { topic, partition, from, to }: ReadRange,
    isolation: Isolation,
    waitMsMax: number,
    onRecord: (record: TopicRecord) => void,
  ): Promise<number> {
    let next = from;
    let empties = 0;
    const deadlineMs = this.#clock.monotonicMs() + waitMsMax;
    while (next < to) {
      const piece = await this.#fetch(topic, partition, next, isolation);
      if (piece === "gone") {
        // Retention has deleted the beginning of the range meanwhile.
        const low = (await this.#offsets(topic, earliest)).get(partition) ?? to;
        next = Math.max(next + 1, low);
        continue;
      }
      const last = piece?.messages.at(-1);
      for (const record of piece === undefined ? [] : visibleRecords(piece, isolation)) {
        if (record.offset >= next && record.offset < to) onRecord(record);
      }
      if (last !== undefined && Number(last.offset) >= next) {
        next = Number(last.offset) + 1;
        empties = 0;
        continue;
      }
      const limit = limitOf(piece, isolation);
      if (limit <= next) {
        // An open transaction hides what follows; a piece takes `fetchWaitMs` to come empty.
        if (this.#clock.monotonicMs() >= deadlineMs) return next;
      } else {
        empties += 1;
        // Batches that compaction has emptied: kafkajs leaves them out, so nothing is left below the limit.
        if (empties >= emptyPiecesMax) next = Math.min(limit, to);
      }
    }
    return to;
  }

  async close(): Promise<void> {
    // Nothing is on its way that matters; a broker that does not answer must not be waited for.
    await this.#cluster.disconnect().catch(() => undefined);
    this.#sockets.sever();
  }

  async #offsets(topic: string, timestamp: number): Promise<Map<number, number>> {
    const offsets = new Map<number, number>();
    await this.#patiently(topic, async () => {
      for (const [nodeId, partitions] of this.#byLeader(topic)) {
        const broker = await this.#cluster.findBroker({ nodeId });
        const { responses } = await broker.listOffsets({
          isolationLevel: 0,
          topics: [{ topic, partitions: partitions.map((partition) => ({ partition, timestamp })) }],
        });
        for (const { partition, offset } of responses.flatMap((response) => response.partitions))
          offsets.set(partition, Number(offset));
      }
    });
    return offsets;
  }

  async #fetch(
    topic: string,
    partition: number,
    offset: number,
    isolation: Isolation,
  ): Promise<FetchedPartition | "gone" | undefined> {
    let piece: FetchedPartition | "gone" | undefined;
    await this.#patiently(`${topic}/${partition}`, async () => {
      const nodeId = String(this.#leaders.get(topic)?.get(partition) ?? -1);
      const broker = await this.#cluster.findBroker({ nodeId });
      const { responses } = await broker.fetch({
        isolationLevel: isolation === "read_committed" ? 1 : 0,
        maxWaitTime: fetchWaitMs,
        minBytes: 1,
        maxBytes: fetchBytesMax,
        topics: [
          { topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: fetchBytesMax }] },
        ],
      });
      piece = responses[0]?.partitions[0];
    });
    return piece;
  }

  #byLeader(topic: string): Map<string, number[]> {
    const byLeader = new Map<string, number[]>();
    for (const [partition, leader] of this.#leaders.get(topic) ?? []) {
      byLeader.set(String(leader), [...(byLeader.get(String(leader)) ?? []), partition]);
    }
    return byLeader;
  }

  /** kafkajs would refuse every topic for a single one that is not there, or has no leader. */
  #note({ topicMetadata }: MetadataResponse): void {
    for (const entry of topicMetadata) {
      const { topic, topicErrorCode, partitionMetadata } = entry;
      if (topicErrorCode === 0 && partitionMetadata.length > 0) {
        this.#leaders.set(topic, new Map(partitionMetadata.map((p) => [p.partitionId, p.leader])));
      }
      for (const partition of partitionMetadata) partition.partitionErrorCode = 0;
      (entry as { topicErrorCode: number }).topicErrorCode = 0;
    }
  }

  /** Tries again while leaders move. @throws OutriderError BROKER_UNAVAILABLE, BROKER_REFUSED or AUDIT_INCONCLUSIVE. */
  async #patiently(what: string, work: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        if (attempt >= attemptsMax || !isRetriable(error)) throw readErrorOf(error, what, this.#broker);
        await this.#clock.sleep(attemptPauseMs * attempt);
        const topics = [...this.#leaders.keys()];
        if (topics.length > 0) await this.#cluster.metadata({ topics }).catch(() => undefined);
      }
    }
  }
}

/** The offset behind the last record that this isolation may see at the moment. */
function limitOf(piece: FetchedPartition | undefined, isolation: Isolation): number {
  if (piece === undefined) return 0;
  const stable = Number(piece.lastStableOffset ?? -1);
  return isolation === "read_committed" && stable >= 0 ? stable : Number(piece.highWatermark);
}

/** kafkajs wraps what it has retried itself in an error that is not retriable; the cause still is. */
function isRetriable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error.name === "KafkaJSBrokerNotFound") return true;
  return ("retriable" in error && error.retriable === true) || isRetriable(error.cause);
}

const typeOf = (error: unknown): string =>
  error instanceof Error && "type" in error ? String(error.type) : "";

function readErrorOf(error: unknown, what: string, broker: string): OutriderError {
  const trouble = troubleOf(error);
  if (typeOf(error).endsWith("AUTHORIZATION_FAILED")) {
    return new OutriderError("BROKER_REFUSED", `Kafka refuses to let this login read ${what}: ${trouble}`, {
      repair: "Grant it DESCRIBE and READ on the topic; nothing else is needed.",
      cause: error,
    });
  }
  if (error instanceof Error && error.name === "KafkaJSNotImplemented") {
    return new OutriderError("AUDIT_INCONCLUSIVE", `${what} cannot be read: ${trouble}`, {
      repair: "Records compressed with snappy, lz4 or zstd cannot be read here; none and gzip can.",
      cause: error,
    });
  }
  return connectErrorOf(error, broker);
}
