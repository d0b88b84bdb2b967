import { describe, expect, it } from "vitest";
import { OutriderError } from "../../../src/foundation/errors.ts";
import { readEvent } from "../../../src/inbox/consumed-event.ts";
import type { ReceivedMessage } from "../../../src/inbox/consumer-shape.ts";

const place = { topic: "orders", partition: 3 };
const headers = {
  event_id: Buffer.from("0190f7a4-0000-7000-8000-000000000001"),
  created_at: Buffer.from("2026-01-02T03:04:05.123456Z"),
  event_type: "OrderPaid",
  traceparent: [
    Buffer.from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    Buffer.from("second"),
  ],
};
const message: ReceivedMessage = {
  key: Buffer.from("order-1"),
  value: Buffer.from('{"paid":true}'),
  offset: "9007199254740993",
  headers,
};

describe("a record", () => {
  it("becomes the event that was written", () => {
    const event = readEvent(place, message);
    if (event instanceof OutriderError) throw event;
    expect(event.json()).toEqual({ paid: true });
    expect(event).toMatchObject({
      eventId: "0190f7a4-0000-7000-8000-000000000001",
      aggregateId: "order-1",
      eventType: "OrderPaid",
      aggregateType: null,
      createdAt: "2026-01-02T03:04:05.123456Z",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      topic: "orders",
      partition: 3,
      offset: "9007199254740993",
    });
    expect(event.payload).toBe(message.value);
  });

  it.each([
    ["has no header event_id", { headers: {} }],
    ["has an event_id that is no UUID", { headers: { ...headers, event_id: "7" } }],
    ["has no header created_at", { headers: { event_id: headers.event_id } }],
    ["has no key", { key: null }],
    ["has no key", { key: Buffer.alloc(0) }],
    ["has no value", { value: null }],
  ])("that %s is an error that says so", (problem, change) => {
    const error = readEvent(place, { ...message, ...change });
    expect(error).toMatchObject({
      code: "EVENT_UNREADABLE",
      message: `the record of orders/3 at offset 9007199254740993 ${problem}`,
    });
  });

  it("with a payload that is no JSON says so without quoting it", () => {
    const event = readEvent(place, { ...message, value: Buffer.from("secret") });
    if (event instanceof OutriderError) throw event;
    let thrown: unknown;
    try {
      event.json();
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: "EVENT_UNREADABLE" });
    expect(JSON.stringify([String(thrown), (thrown as Error).cause ?? null])).not.toContain("secret");
  });
});
