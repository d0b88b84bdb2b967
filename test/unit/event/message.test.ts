import { describe, expect, it } from "vitest";
import { isMessage, type Message, toMessage, topicOf } from "../../../src/event/message.ts";
import { anEvent } from "../../support/events.ts";

const routing = { topicTemplate: "outbox.event.${aggregate_type}", topicDefault: "outbox.event" };

describe("topicOf", () => {
  it("prefers the event's own topic, then the template, then the default", () => {
    expect(topicOf({ topic: "own", aggregateType: "order" }, routing)).toBe("own");
    expect(topicOf({ topic: null, aggregateType: "order" }, routing)).toBe("outbox.event.order");
    expect(topicOf({ topic: null, aggregateType: null }, routing)).toBe("outbox.event");
  });
});

describe("toMessage", () => {
  it("carries key, payload and the event's metadata, untouched", () => {
    const made = toMessage(
      anEvent({
        headers: '{"traceparent":"00-1","x":"ü"}',
        eventType: "paid",
        aggregateType: "order",
        payload: '{"b":1, "a":2}',
      }),
      routing,
    ) as Message;
    expect(made).toMatchObject({
      topic: "outbox.event.order",
      key: "order-1",
      value: '{"b":1, "a":2}',
      timestamp: "1000",
    });
    expect(made.headers).toEqual({
      traceparent: "00-1",
      x: "ü",
      event_id: made.event.eventId,
      created_at: made.event.createdAt,
      event_type: "paid",
      aggregate_type: "order",
    });
  });

  it("never lets a header of the application replace one of the relay's", () => {
    const made = toMessage(anEvent({ headers: '{"event_id":"forged"}' }), routing) as Message;
    expect(made.headers.event_id).toBe(made.event.eventId);
  });

  it("has no timestamp where a date cannot express created_at", () => {
    expect((toMessage(anEvent({ createdAt: "-infinity" }), routing) as Message).timestamp).toBeUndefined();
  });

  it.each([
    ["aggregate-id-invalid", { aggregateId: "" }],
    ["payload-too-large", { payload: null, payloadBytes: 20_000_000 }],
    ["topic-invalid", { topic: "no spaces" }],
    ["topic-invalid", { topic: "" }],
    ["topic-invalid", { topic: ".." }],
    ["topic-invalid", { topic: "x".repeat(250) }],
    ["topic-invalid", { aggregateType: "order/2" }],
    ["headers-invalid", { headers: '{"n":1}' }],
    ["headers-invalid", { headers: '["a"]' }],
    ["headers-invalid", { headers: '"text"' }],
  ] as const)("rejects with %s instead of throwing", (reason, fields) => {
    const made = toMessage(anEvent(fields), routing);
    expect(isMessage(made)).toBe(false);
    expect(made).toMatchObject({ reason });
  });

  it("takes JSON null for no headers", () => {
    expect(isMessage(toMessage(anEvent({ headers: "null" }), routing))).toBe(true);
  });
});
