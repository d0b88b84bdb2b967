/**
 * Metadata in version 8, which kafkajs 2.2.4 does not speak: the first in which a broker says what this
 * login may do with each topic. So rights are known without trying to write.
 */
import { createRequire } from "node:module";
import type { Exchange } from "../publisher/kafkajs-repairs.ts";
import type { TopicFacts } from "./cluster-facts.ts";

export interface ClusterMetadata {
  readonly brokers: readonly { readonly nodeId: number; readonly address: string }[];
  readonly topics: readonly Omit<TopicFacts, "settings">[];
}

const require = createRequire(import.meta.url);
const Encoder = require("kafkajs/src/protocol/encoder") as new () => {
  writeBufferInternal(bytes: Buffer): void;
};

/** The exchange for these topics; no topics: the brokers alone. Creates none. */
export function metadataExchange(topics: readonly string[]): Exchange {
  const request = {
    apiKey: 3,
    apiVersion: 8,
    apiName: "Metadata",
    encode: async () => {
      const encoder = new Encoder();
      encoder.writeBufferInternal(encodeQuestion(topics));
      return encoder;
    },
  };
  return {
    request,
    response: { decode: async (payload) => decodeAnswer(payload), parse: async (decoded) => decoded },
  };
}

export function encodeQuestion(topics: readonly string[]): Buffer {
  const count = Buffer.alloc(4);
  count.writeInt32BE(topics.length);
  const names = topics.flatMap((topic) => {
    const name = Buffer.from(topic);
    const length = Buffer.alloc(2);
    length.writeInt16BE(name.length);
    return [length, name];
  });
  // Create no topics, leave out the rights on the cluster, tell those on topics.
  return Buffer.concat([count, ...names, Buffer.of(0, 0, 1)]);
}

/** What a broker answers that was not asked, or that knows no access control. */
const untold = -2_147_483_648;

export function decodeAnswer(payload: Buffer): ClusterMetadata {
  const reader = new Reader(payload);
  reader.int32(); // throttle_time_ms
  const brokers = reader.array(() => {
    const nodeId = reader.int32();
    const host = reader.text() ?? "";
    const port = reader.int32();
    reader.text(); // rack
    return { nodeId, address: `${host.includes(":") ? `[${host}]` : host}:${port}` };
  });
  reader.text(); // cluster_id
  reader.int32(); // controller_id
  const topics = reader.array(() => {
    const errorCode = reader.int16();
    const topic = reader.text() ?? "";
    reader.int8(); // is_internal
    const partitions = reader.array(() => readPartition(reader));
    const operations = reader.int32();
    return { topic, errorCode, partitions, operations: operations === untold ? null : operations };
  });
  return { brokers, topics };
}

function readPartition(reader: Reader) {
  reader.int16(); // error_code: says no more than the leader does
  const partition = reader.int32();
  const leader = reader.int32();
  reader.int32(); // leader_epoch
  const replicas = reader.array(() => reader.int32()).length;
  const insync = reader.array(() => reader.int32()).length;
  reader.array(() => reader.int32()); // offline_replicas
  return { partition, hasLeader: leader >= 0, replicas, insync };
}

class Reader {
  #at = 0;

  constructor(private readonly bytes: Buffer) {}

  int8(): number {
    this.#at += 1;
    return this.bytes.readInt8(this.#at - 1);
  }

  int16(): number {
    this.#at += 2;
    return this.bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.bytes.readInt32BE(this.#at - 4);
  }

  text(): string | null {
    const length = this.int16();
    if (length < 0) return null;
    this.#at += length;
    return this.bytes.toString("utf8", this.#at - length, this.#at);
  }

  array<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.int32()) }, read);
  }
}
