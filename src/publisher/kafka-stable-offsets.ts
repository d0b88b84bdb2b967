/**
 * OffsetFetch in version 7, which kafkajs 2.2.4 does not speak: the first with `require_stable`. Without
 * it a coordinator may answer with the offset from before a transaction whose end it has been told and
 * not yet carried out; a takeover would then take a committed batch for one that never was, and publish
 * it twice. With it the coordinator says UNSTABLE_OFFSET_COMMIT until the transaction is settled.
 *
 * The version is "flexible": lengths are variable-length numbers counted from 1, and every structure ends
 * with its tagged fields, of which we send and expect none.
 */
import { createRequire } from "node:module";
import type { Exchange } from "./kafkajs-repairs.ts";

export interface OffsetQuestion {
  readonly groupId: string;
  readonly topic: string;
  readonly partitions: readonly number[];
}

/** The committed offset of each partition asked for; null where there is none. */
export type StableOffsets = ReadonlyMap<number, number | null>;

/** Kafka's answer is an error code. */
export class OffsetFetchRefused extends Error {
  constructor(readonly errorCode: number) {
    super(`Kafka answers OffsetFetch with error code ${errorCode}`);
  }
}

/**
 * Codes that pass by themselves: UNSTABLE_OFFSET_COMMIT, and a coordinator that is being found or is still
 * reading its log (COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR).
 */
export const unstableOffsetCommit = 88;
export const passingCodes: ReadonlySet<number> = new Set([unstableOffsetCommit, 14, 15, 16]);

interface KafkajsEncoder {
  writeBufferInternal(bytes: Buffer): void;
}

const require = createRequire(import.meta.url);
const Encoder = require("kafkajs/src/protocol/encoder") as new () => KafkajsEncoder;

/** The exchange to send in the place of kafkajs's own; `answer` gets what the coordinator said. */
export function stableOffsetFetch(
  question: OffsetQuestion,
  answer: (offsets: StableOffsets) => void,
): Exchange {
  const request = {
    apiKey: 9,
    apiVersion: 7,
    apiName: "OffsetFetch",
    encode: async () => {
      const encoder = new Encoder();
      encoder.writeBufferInternal(encodeQuestion(question));
      return encoder;
    },
  };
  return {
    request,
    response: {
      decode: async (payload) => decodeAnswer(payload),
      parse: async (decoded) => {
        answer(decoded as StableOffsets);
        return { responses: [] };
      },
    },
  };
}

export function encodeQuestion({ groupId, topic, partitions }: OffsetQuestion): Buffer {
  const ids = Buffer.alloc(4 * partitions.length);
  for (const [at, partition] of partitions.entries()) ids.writeInt32BE(partition, 4 * at);
  const noTags = Buffer.of(0);
  return Buffer.concat([
    noTags, // Of the request's header, which kafkajs writes in its older form.
    compactText(groupId),
    varint(1 + 1),
    compactText(topic),
    varint(partitions.length + 1),
    ids,
    noTags,
    Buffer.of(1), // require_stable
    noTags,
  ]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return Buffer.from([...bytes, rest]);
}

function compactText(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([varint(bytes.length + 1), bytes]);
}

/** @throws OffsetFetchRefused */
export function decodeAnswer(payload: Buffer): StableOffsets {
  const reader = new FlexibleReader(payload);
  reader.tags();
  reader.skip(4); // throttle_time_ms
  const offsets = new Map<number, number | null>();
  for (let topics = reader.count(); topics > 0; topics -= 1) {
    reader.skip(reader.count()); // its name
    for (let partitions = reader.count(); partitions > 0; partitions -= 1) {
      const partition = reader.int32();
      const offset = reader.int64();
      reader.skip(4); // committed_leader_epoch
      reader.skip(reader.count()); // metadata
      refuse(reader.int16());
      reader.tags();
      offsets.set(partition, offset < 0 ? null : offset);
    }
    reader.tags();
  }
  refuse(reader.int16());
  return offsets;
}

function refuse(errorCode: number): void {
  if (errorCode !== 0) throw new OffsetFetchRefused(errorCode);
}

class FlexibleReader {
  #at = 0;

  constructor(private readonly bytes: Buffer) {}

  skip(count: number): void {
    this.#at += count;
  }

  /** The length of what follows; 0 for what is absent. */
  count(): number {
    return Math.max(0, this.#varint() - 1);
  }

  tags(): void {
    for (let tags = this.#varint(); tags > 0; tags -= 1) {
      this.#varint();
      this.skip(this.#varint());
    }
  }

  int16(): number {
    this.#at += 2;
    return this.bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.bytes.readInt32BE(this.#at - 4);
  }

  /** Numbers of batches stay far below 2^53. */
  int64(): number {
    this.#at += 8;
    return Number(this.bytes.readBigInt64BE(this.#at - 8));
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes.readUInt8(this.#at);
      this.#at += 1;
      value |= (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
  }
}
