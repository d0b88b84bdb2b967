/** A kafkajs consumer by its shape, played by a test: it delivers what the test says, when it says so. */
import { randomUUID } from "node:crypto";
import type {
  BatchDelivery,
  Crash,
  GroupJoin,
  KafkaConsumer,
  PartitionOffsets,
  ReceivedMessage,
} from "../../src/inbox/consumer-shape.ts";

export const rebalancing = Object.assign(new Error("the group is rebalancing"), {
  type: "REBALANCE_IN_PROGRESS",
});
export const expelled = Object.assign(new Error("unknown member"), { type: "UNKNOWN_MEMBER_ID" });

export interface Delivered {
  /** Ends when `eachBatch` does. */
  readonly ended: Promise<void>;
  /** Where the next fetch would begin: what was passed to `resolveOffset`. */
  readonly resolved: string[];
}

export class ScriptedConsumer implements KafkaConsumer {
  readonly commits: string[] = [];
  readonly calls: string[] = [];
  /** Thrown by every heartbeat while it is set. */
  heartbeatError: Error | undefined;
  commitError: Error | undefined;
  #eachBatch: ((delivery: BatchDelivery) => Promise<void>) | undefined;
  readonly #listeners = new Map<string, (event: { payload: GroupJoin & Crash }) => void>();

  async connect(): Promise<void> {
    this.calls.push("connect");
  }
  async disconnect(): Promise<void> {
    this.calls.push("disconnect");
  }
  async subscribe(): Promise<void> {
    this.calls.push("subscribe");
  }
  async run(config: Parameters<KafkaConsumer["run"]>[0]): Promise<void> {
    this.#eachBatch = config.eachBatch;
  }
  pause(partitions: { topic: string; partitions: number[] }[]): void {
    this.calls.push(`pause ${partitions.map(({ topic, partitions }) => `${topic}/${partitions}`)}`);
  }
  resume(partitions: { topic: string; partitions: number[] }[]): void {
    this.calls.push(`resume ${partitions.map(({ topic, partitions }) => `${topic}/${partitions}`)}`);
  }
  on(event: string, listener: (event: { payload: GroupJoin & Crash }) => void): void {
    this.#listeners.set(event, listener);
  }
  logger(): ReturnType<KafkaConsumer["logger"]> {
    return { warn: () => undefined, error: () => undefined };
  }

  join(...partitions: number[]): void {
    this.#emit("consumer.group_join", { memberAssignment: { topic: partitions } });
  }
  rebalance(): void {
    this.#emit("consumer.rebalancing", {});
  }
  crash(restart: boolean): void {
    this.#emit("consumer.crash", { error: new Error("broken"), restart });
  }

  deliver(partition: number, messages: readonly ReceivedMessage[]): Delivered {
    if (this.#eachBatch === undefined) throw new Error("the consumer does not run");
    const resolved: string[] = [];
    const last = messages.at(-1)?.offset ?? "-1";
    const ended = this.#eachBatch({
      batch: { topic: "topic", partition, messages, lastOffset: () => last },
      resolveOffset: (offset) => void resolved.push(offset),
      heartbeat: async () => {
        if (this.heartbeatError !== undefined) throw this.heartbeatError;
      },
      commitOffsetsIfNecessary: async ({ topics }: PartitionOffsets) => {
        if (this.commitError !== undefined) throw this.commitError;
        for (const { topic, partitions } of topics) {
          for (const { partition, offset } of partitions)
            this.commits.push(`${topic}/${partition}@${offset}`);
        }
      },
    });
    // A test looks at it when it is ready to.
    ended.catch(() => undefined);
    return { ended, resolved };
  }

  #emit(event: string, payload: object): void {
    this.#listeners.get(event)?.({ payload: payload as GroupJoin & Crash });
  }
}

/** Records at offsets that count up from `from`, one for each key. */
export function records(
  from: number,
  keys: readonly string[],
  ids: readonly string[] = [],
): ReceivedMessage[] {
  return keys.map((key, n) => ({
    key: Buffer.from(key),
    value: Buffer.from("{}"),
    offset: String(from + n),
    headers: { event_id: ids[n] ?? randomUUID(), created_at: "2026-01-01T00:00:00.000000Z" },
  }));
}
