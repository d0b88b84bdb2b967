/**
 * The parts of kafkajs below its consumer, which are not public: a consumer cannot read without joining
 * a group, and joining is visible to everyone, takes seconds, and commits. The version is pinned and
 * checked (`kafkajs-repairs.ts`); the few members used are written down here.
 */
import { createRequire } from "node:module";

export interface KafkajsCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  /** No topics: all of them. */
  metadata(request: { topics: readonly string[] }): Promise<unknown>;
  findBroker(node: { nodeId: string }): Promise<KafkajsBroker>;
}

export interface KafkajsBroker {
  listOffsets(request: {
    isolationLevel: number;
    topics: {
      topic: string;
      partitions: { partition: number; timestamp: string | number }[];
    }[];
  }): Promise<{
    responses: { topic: string; partitions: { partition: number; offset: string }[] }[];
  }>;
  fetch(request: {
    isolationLevel: number;
    maxWaitTime: number;
    minBytes: number;
    maxBytes: number;
    topics: {
      topic: string;
      partitions: { partition: number; fetchOffset: string; maxBytes: number }[];
    }[];
  }): Promise<{ readonly responses: readonly { readonly partitions: readonly FetchedPartition[] }[] }>;
}

export interface FetchedPartition {
  readonly highWatermark: string;
  /** The end for `read_committed`; "-1" or absent where it was not asked for. */
  readonly lastStableOffset?: string;
  readonly abortedTransactions?: readonly { readonly producerId: string; readonly firstOffset: string }[];
  /** Everything from the first record of the batch that holds the asked offset; control records as well. */
  readonly messages: readonly FetchedRecord[];
}

type HeaderValue = Buffer | null | readonly (Buffer | null)[];

export interface FetchedRecord {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly headers: Readonly<Record<string, HeaderValue | undefined>>;
  readonly isControlRecord: boolean;
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean };
}

const silent = {
  info: () => undefined,
  error: () => undefined,
  warn: () => undefined,
  debug: () => undefined,
  namespace: () => silent,
};

/** `options`: those of kafkajs's client, and a socket factory. */
export function makeCluster(options: object): KafkajsCluster {
  const require = createRequire(import.meta.url);
  const Cluster = require("kafkajs/src/cluster") as new (options: object) => KafkajsCluster;
  return new Cluster({
    metadataMaxAge: 300_000,
    reauthenticationThreshold: 10_000,
    allowAutoTopicCreation: false,
    maxInFlightRequests: 1,
    isolationLevel: 0,
    ...options,
    logger: silent,
  });
}
