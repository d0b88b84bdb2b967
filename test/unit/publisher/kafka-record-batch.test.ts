import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteWriter } from "../../../src/publisher/byte-writer.ts";
import { crc32c } from "../../../src/publisher/crc32c.ts";
import type { Outgoing } from "../../../src/publisher/kafka-chunks.ts";
import { ProduceWriter, parcelOf } from "../../../src/publisher/kafka-produce-request.ts";
import { type BatchOwner, writeRecordBatch } from "../../../src/publisher/kafka-record-batch.ts";

const require = createRequire(import.meta.url);
const theirCrc = require("kafkajs/src/protocol/recordBatch/crc32C") as (bytes: Buffer) => number;
const produceV7 = require("kafkajs/src/protocol/requests/produce/v7/request") as (order: object) => {
  encode(): Promise<{ readonly buffer: Buffer }>;
};

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.constant("x".repeat(64)),
);

/** Sizes at which a length takes another byte are drawn on purpose. */
const value = fc.oneof(
  text,
  fc.nat(9_000).map((size) => "é".repeat(size)),
  fc.constantFrom(0, 63, 64, 8_100, 8_191, 8_192, 70_000).map((size) => "v".repeat(size)),
  fc.uint8Array({ maxLength: 300 }),
);

const outgoing = fc
  .record({
    key: text,
    value,
    headers: fc.dictionary(text, text, { maxKeys: 5 }),
    ms: fc.oneof(fc.nat(), fc.integer({ min: 0, max: 8.64e15 })),
  })
  .map(({ key, value, headers, ms }): Outgoing => {
    const valueBytes = typeof value === "string" ? Buffer.byteLength(value) : value.length;
    const headerBytes = Object.entries(headers).reduce(
      (sum, [name, text]) => sum + 8 + Buffer.byteLength(name) + Buffer.byteLength(text),
      0,
    );
    const bytes = 32 + Buffer.byteLength(key) + valueBytes + headerBytes;
    return {
      event: {} as Outgoing["event"],
      topic: "orders",
      partition: 3,
      bytes,
      key,
      value,
      valueBytes,
      headers,
      timestamp: String(ms),
    };
  });

const sameLength = (records: readonly Outgoing[]) =>
  records.every(({ timestamp }) => timestamp.length === records[0]?.timestamp.length);

/** As kafkajs would be handed it: it knows no other bytes than a Buffer. */
const theirs = ({ key, value, headers, timestamp }: Outgoing) => ({
  key,
  value: typeof value === "string" ? value : Buffer.from(value),
  headers,
  timestamp,
});

const slotOf = (messages: Outgoing[], topic = "orders", partition = 3) => ({
  topic,
  partition,
  messages,
  bytes: messages.reduce((sum, { bytes }) => sum + bytes, 61),
  isFull: false,
});

describe("a produce request of our own", () => {
  it("has the bytes that kafkajs would write", async () => {
    await fc.assert(
      fc.asyncProperty(
        // kafkajs sorts times as texts; of equal length that is the same as by number.
        fc.array(outgoing, { minLength: 1, maxLength: 150 }).filter(sameLength),
        fc.option(fc.constant("outrider-0"), { nil: undefined }),
        async (messages, transactionalId) => {
          const base = { acks: -1, timeout: 24_000, transactionalId, producerId: "4711", producerEpoch: 7 };
          const ours = await new ProduceWriter("none").write({
            ...base,
            topicData: [
              { topic: "orders", partitions: [{ partition: 3, messages: [parcelOf(slotOf(messages))] }] },
            ],
          });
          const partitions = [{ partition: 3, firstSequence: 0, messages: messages.map(theirs) }];
          const expected = await produceV7({
            ...base,
            producerId: 4711n,
            topicData: [{ topic: "orders", partitions }],
          }).encode();
          expect(ours.equals(expected.buffer)).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("counts records, not parcels, from one send to the next, in each partition by itself", async () => {
    const [record] = fc.sample(outgoing, 1) as [Outgoing];
    const writer = new ProduceWriter("none");
    const firstOf = async (partition: number, count: number) => {
      const parcel = parcelOf(
        slotOf(
          Array.from({ length: count }, () => record),
          "t",
          partition,
        ),
      );
      const body = await writer.write({
        transactionalId: "x",
        producerId: 1n,
        producerEpoch: 0,
        acks: -1,
        timeout: 1,
        topicData: [{ topic: "t", partitions: [{ partition, messages: [parcel] }] }],
      });
      // "x", acks, timeout, one topic, "t", one partition, its number, its size; then up to the sequence.
      return body.readInt32BE(3 + 2 + 4 + 4 + 3 + 4 + 4 + 4 + 53);
    };
    expect(await firstOf(0, 5)).toBe(0);
    expect(await firstOf(0, 2)).toBe(5);
    expect(await firstOf(1, 1)).toBe(0);
    expect(await firstOf(0, 1)).toBe(7);
  });
});

describe("a record batch", () => {
  const owner: BatchOwner = { producerId: -1n, producerEpoch: 0, firstSequence: 0, isTransactional: false };

  it("is the same under gzip, once it is unpacked", async () => {
    const records = fc.sample(outgoing, 20);
    const [plain, packed] = [new ByteWriter(16), new ByteWriter(16)];
    await writeRecordBatch(plain, records, owner, "none");
    await writeRecordBatch(packed, records, owner, "gzip");
    expect(packed.written.readInt16BE(21)).toBe(1);
    expect(packed.written.readUInt32BE(17)).toBe(theirCrc(packed.written.subarray(21)));
    expect(gunzipSync(packed.written.subarray(61)).equals(plain.written.subarray(61))).toBe(true);
  });

  it("counts times from the earliest, also where the texts of the times sort otherwise", async () => {
    const [record] = fc.sample(outgoing, 1) as [Outgoing];
    const writer = new ByteWriter(16);
    const records = ["1000", "999", "20000"].map((timestamp) => ({ ...record, timestamp }));
    await writeRecordBatch(writer, records, owner, "none");
    expect(writer.written.readBigInt64BE(27)).toBe(999n);
    expect(writer.written.readBigInt64BE(35)).toBe(20_000n);
  });
});

describe("the checksum", () => {
  it("is CRC-32C: the published check value, and the same as kafkajs's for any bytes", () => {
    const digits = Buffer.from("123456789");
    expect(crc32c(digits, 0, 9)).toBe(0xe3069283);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(8), (bytes, from) => {
        const start = Math.min(from, bytes.length);
        expect(crc32c(bytes, start, bytes.length)).toBe(theirCrc(Buffer.from(bytes.subarray(start))));
      }),
      { numRuns: 500 },
    );
  });
});
