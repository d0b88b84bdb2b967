/** Kafka's wire format as kafkajs writes and reads it, typed for the fake broker. */
import { createRequire } from "node:module";

export interface Encoder {
  readonly buffer: Buffer;
  writeInt16(value: number): Encoder;
  writeInt32(value: number): Encoder;
  writeInt64(value: string): Encoder;
  writeBoolean(value: boolean): Encoder;
  writeString(value: string | null): Encoder;
  writeBytes(value: Buffer): Encoder;
  writeEncoder(value: Encoder): Encoder;
  writeArray(values: readonly unknown[]): Encoder;
}

export interface Decoder {
  readInt16(): number;
  readInt32(): number;
  readString(): string | null;
  readBytes(): Buffer;
  readArray<T>(read: (decoder: Decoder) => T): T[];
}

interface DecodedRecord {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, Buffer>>;
}

const require = createRequire(import.meta.url);
export const EncoderClass = require("kafkajs/src/protocol/encoder") as new () => Encoder;
export const DecoderClass = require("kafkajs/src/protocol/decoder") as new (bytes: Buffer) => Decoder;
export const decodeBatch = require("kafkajs/src/protocol/recordBatch/v0/decoder") as (
  decoder: Decoder,
) => Promise<{ records: DecodedRecord[] }>;
