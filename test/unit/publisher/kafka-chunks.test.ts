import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ChunkLimits,
  cutChunk,
  type Outgoing,
  toOutgoing,
} from "../../../src/publisher/kafka-chunks.ts";
import { anEvent } from "../../support/events.ts";

function outgoing(lane: string, topic: string, partition: number, bytes: number, seq: number): Outgoing {
  const event = anEvent({ aggregateId: lane, seq: String(seq) });
  return { event, topic, partition, bytes, key: lane, value: "", valueBytes: 0, headers: {}, timestamp: "0" };
}

const unlimited: ChunkLimits = { bytesMax: () => 1e9, eventsMax: () => Number.POSITIVE_INFINITY };

/** Cuts until nothing is left; the chunks as lists of slots. */
function cutAll(queue: readonly Outgoing[], limits: ChunkLimits) {
  const chunks = [];
  let rest = queue;
  while (rest.length > 0) {
    const chunk = cutChunk(rest, limits);
    expect(chunk.rest.length).toBeLessThan(rest.length);
    chunks.push(chunk.slots);
    rest = chunk.rest;
  }
  return chunks;
}

describe("cutting chunks", () => {
  it("puts each partition's messages into one slot, in order", () => {
    const queue = [
      outgoing("a", "t", 0, 10, 1),
      outgoing("b", "t", 1, 10, 2),
      outgoing("a", "t", 0, 10, 3),
      outgoing("c", "t", 0, 10, 4),
    ];
    const { slots, rest } = cutChunk(queue, unlimited);
    expect(rest).toEqual([]);
    expect(
      slots.map(({ partition, messages }) => [partition, messages.map(({ event }) => event.seq)]),
    ).toEqual([
      [0, ["1", "3", "4"]],
      [1, ["2"]],
    ]);
  });

  it("never puts an aggregate into two slots at once: the second could be taken and the first refused", () => {
    const queue = [
      outgoing("a", "t", 0, 10, 1),
      outgoing("a", "u", 0, 10, 2),
      outgoing("a", "t", 0, 10, 3),
      outgoing("b", "u", 0, 10, 4),
    ];
    const { slots, rest } = cutChunk(queue, unlimited);
    expect(slots.map(({ messages }) => messages.map(({ event }) => event.seq))).toEqual([["1"], ["4"]]);
    expect(rest.map(({ event }) => event.seq)).toEqual(["2", "3"]);
  });

  it("sends a message above every limit alone, and nothing of its partition overtakes it", () => {
    const queue = [
      outgoing("a", "t", 0, 10, 1),
      outgoing("b", "t", 0, 5_000, 2),
      outgoing("c", "t", 0, 10, 3),
    ];
    const chunks = cutAll(queue, { ...unlimited, bytesMax: () => 200 });
    expect(
      chunks.map((slots) => slots.flatMap(({ messages }) => messages.map(({ event }) => event.seq))),
    ).toEqual([["1"], ["2"], ["3"]]);
  });

  it("keeps every lane in order, every slot below its limits, and loses nothing", () => {
    const message = fc.record({
      lane: fc.integer({ min: 0, max: 6 }),
      topic: fc.constantFrom("t", "u"),
      bytes: fc.integer({ min: 1, max: 400 }),
    });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 60 }),
        fc.integer({ min: 80, max: 600 }),
        fc.integer({ min: 1, max: 9 }),
        (given, bytesMax, eventsMax) => {
          const queue = given.map(({ lane, topic, bytes }, at) =>
            outgoing(`lane-${lane}`, topic, lane % 3, bytes, at),
          );
          const chunks = cutAll(queue, { bytesMax: () => bytesMax, eventsMax: () => eventsMax });
          const order = new Map<string, number[]>();
          for (const slots of chunks) {
            const homes = new Map<string, object>();
            for (const slot of slots) {
              if (slot.messages.length > 1) expect(slot.bytes).toBeLessThanOrEqual(bytesMax);
              expect(slot.messages.length).toBeLessThanOrEqual(eventsMax);
              for (const { event, topic, partition } of slot.messages) {
                expect([topic, partition]).toEqual([slot.topic, slot.partition]);
                expect(homes.get(event.aggregateId) ?? slot).toBe(slot);
                homes.set(event.aggregateId, slot);
                order.set(event.aggregateId, [...(order.get(event.aggregateId) ?? []), Number(event.seq)]);
              }
            }
          }
          expect([...order.values()].flat().length).toBe(given.length);
          for (const seqs of order.values()) expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
        },
      ),
    );
  });
});

describe("a message on its way out", () => {
  const headers = { event_id: "1", note: "é" };
  const event = anEvent();
  const timestamp = undefined;

  it("carries bytes as they are, without a copy, and says how many", () => {
    const event = anEvent({});
    const bytes = new Uint8Array([0, 1, 2, 255]).subarray(1);
    const made = toOutgoing({ event, topic: "t", key: "k", value: bytes, headers: {}, timestamp: "0" }, 0, 0);
    expect(made.value).toBe(bytes);
    expect(made.valueBytes).toBe(3);
  });

  it("takes the time of sending where created_at is none that Kafka can express", () => {
    expect(toOutgoing({ event, topic: "t", key: "k", value: "", headers, timestamp }, 0, 5).timestamp).toBe(
      "5",
    );
  });
});
