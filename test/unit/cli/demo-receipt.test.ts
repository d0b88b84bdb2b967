import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { envelopeDigestOf } from "../../../src/cli/demo/digest.ts";
import { receiptOf } from "../../../src/cli/demo/receipt.ts";
import { receiveLines } from "../../../src/cli/demo/stdout-reception.ts";
import { spacedJson } from "../../../src/cli/demo/workload.ts";
import type { Arrival } from "../../../src/cli/trial/kafka-reception.ts";
import type { Message } from "../../../src/event/message.ts";
import { StdoutPublisher } from "../../../src/publisher/stdout.ts";
import { anEvent } from "../../support/events.ts";

describe("a receipt", () => {
  it("shows a message without an event id as one that nobody committed", () => {
    const { eventId, createdAtMicros } = receiptOf({
      topic: "t",
      partition: "t/0",
      key: "k",
      headers: {},
      payload: "{}",
    });
    expect(eventId).toBe("(no event_id: key k in t/0)");
    expect(createdAtMicros).toBeNaN();
  });

  it("sees a header that was added on the way", () => {
    const arrival = { topic: "t", partition: "t/0", key: "k", payload: "{}" };
    const without = receiptOf({ ...arrival, headers: { event_id: "e" } });
    const withOne = receiptOf({ ...arrival, headers: { event_id: "e", extra: "1" } });
    expect(without.envelopeDigest).not.toBe(withOne.envelopeDigest);
  });
});

describe("envelopes", () => {
  it("are the same whatever the order of the headers, and differ in anything else", () => {
    const envelope = { topic: "t", eventType: "e", aggregateType: null, headers: { a: "1", b: "2" } };
    const same = envelopeDigestOf({ ...envelope, headers: { b: "2", a: "1" } });
    expect(envelopeDigestOf(envelope)).toBe(same);
    for (const change of [
      { topic: "u" },
      { eventType: null },
      { aggregateType: "e" },
      { headers: { a: "1" } },
    ])
      expect(envelopeDigestOf({ ...envelope, ...change })).not.toBe(same);
  });
});

describe("lines on standard output", () => {
  it("give back the very payloads that were published, wherever the chunks are cut", async () => {
    const payloads = [
      '{"a":1}',
      spacedJson({ b: "雪\u2028 line", c: [1, 2] }),
      "12.50",
      Uint8Array.of(1, 2, 255),
    ];
    const written = new PassThrough();
    const publisher = new StdoutPublisher(written);
    await publisher.publish(
      payloads.map(
        (value): Message => ({
          event: anEvent(),
          topic: "t",
          key: 'k"1',
          value,
          headers: { event_id: "e", value: '","value":1' },
          timestamp: undefined,
        }),
      ),
    );
    written.end();
    const bytewise = new PassThrough();
    for (const byte of written.read() as Buffer) bytewise.write(Buffer.of(byte));
    bytewise.end();
    const arrivals: Arrival[] = [];
    await receiveLines(bytewise, (arrival) => arrivals.push(arrival));
    expect(arrivals.map(({ payload }) => payload)).toEqual(
      payloads.map((payload) => (typeof payload === "string" ? payload : Buffer.from(payload))),
    );
    expect(arrivals[0]).toMatchObject({ topic: "t", partition: "t", key: 'k"1' });
  });
});
