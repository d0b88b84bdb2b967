import { Partitioners } from "kafkajs";
import { describe, expect, it } from "vitest";
import { murmur2, PinnedCounts, partitionOf } from "../../../src/publisher/kafka-partitions.ts";

const javaPartition = (key: string, count: number) =>
  Partitioners.DefaultPartitioner()({
    topic: "t",
    partitionMetadata: Array.from({ length: count }, (_, partitionId) => ({
      partitionErrorCode: 0,
      partitionId,
      leader: 0,
      replicas: [],
      isr: [],
    })),
    message: { key, value: "" },
  });

describe("murmur2", () => {
  it("gives the values of Kafka's own test", () => {
    expect([
      murmur2("21"),
      murmur2("foobar"),
      murmur2("a-little-bit-long-string"),
      murmur2("a-little-bit-longer-string"),
      murmur2("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"),
      murmur2("abc"),
    ]).toEqual([-973932308, -790332482, -985981536, -1486304829, -58897971, 479470107]);
  });

  it("puts any key where kafkajs would, whatever its letters and length", () => {
    const letters = ["a", "7", "-", "é", "漢", "🦊", "\ud800", "\0"];
    let state = 20_261_123;
    const next = () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
      return state >>> 8;
    };
    for (let n = 0; n < 3_000; n += 1) {
      const key = Array.from({ length: next() % 40 }, () => letters[next() % letters.length]).join("");
      const count = 1 + (next() % 60);
      expect([key, partitionOf(key, count)]).toEqual([key, javaPartition(key, count)]);
    }
    const long = "漢".repeat(5_000);
    expect(partitionOf(long, 12)).toBe(javaPartition(long, 12));
  });
});

describe("the pinned partition count", () => {
  it("stays when a topic grows, and says so once for each new count", () => {
    const counts = new PinnedCounts();
    expect([6, 6, 12, 12, 18].map((count) => counts.note("t", count))).toEqual([
      "first-seen",
      "unchanged",
      "grown",
      "unchanged",
      "grown",
    ]);
    expect(counts.countOf("t")).toBe(6);
  });

  it("follows a topic that was made anew with fewer partitions", () => {
    const counts = new PinnedCounts();
    counts.note("t", 6);
    expect(counts.note("t", 3)).toBe("shrunk");
    expect(counts.countOf("t")).toBe(3);
  });
});
