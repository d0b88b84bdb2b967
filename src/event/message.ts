/**
 * What goes on the wire: pure translation of an event into topic, key, headers and value. An event
 * that cannot be translated is a rejection with a reason, never a throw: one broken row must not
 * stop the others.
 */
import type { Rejection, RejectionReason } from "./delivery.ts";
import type { OutboxEvent } from "./event.ts";
import { microsOfIso } from "./position.ts";

export interface Message {
  readonly event: OutboxEvent;
  readonly topic: string;
  readonly key: string;
  readonly value: string | Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds since 1970 as text, from `created_at`; undefined where a Date cannot express it. */
  readonly timestamp: string | undefined;
}

export interface Routing {
  /** `${aggregate_type}` is replaced; used when the event names no topic and has an aggregate type. */
  readonly topicTemplate: string;
  /** Used when the event has neither a topic nor an aggregate type. */
  readonly topicDefault: string;
}

export const topicShape = /^[a-zA-Z0-9._-]{1,249}$/;
export const aggregateIdLengthMax = 1024;

export function topicOf(event: Pick<OutboxEvent, "topic" | "aggregateType">, routing: Routing): string {
  if (event.topic !== null) return event.topic;
  if (event.aggregateType === null) return routing.topicDefault;
  return routing.topicTemplate.replaceAll("${aggregate_type}", event.aggregateType);
}

/** The message of an event, or why there can be none. */
export function toMessage(event: OutboxEvent, routing: Routing): Message | Rejection {
  const refuse = (reason: RejectionReason, message: string): Rejection => ({ event, reason, message });
  if (event.aggregateId === "") {
    return refuse("aggregate-id-invalid", "aggregate_id is empty: give the event the id of its aggregate");
  }
  if (event.payload === null) {
    return refuse(
      "payload-too-large",
      `event_payload has ${event.payloadBytes} bytes: raise OUTRIDER_PAYLOAD_BYTES_MAX, or store the payload elsewhere and publish its address`,
    );
  }
  const topic = topicOf(event, routing);
  if (!topicShape.test(topic) || topic === "." || topic === "..") {
    return refuse("topic-invalid", `"${topic}" is no topic name: 1 to 249 of a-z A-Z 0-9 . _ - are allowed`);
  }
  const own = parseHeaders(event.headers);
  if (typeof own === "string") return refuse("headers-invalid", own);
  const micros = microsOfIso(event.createdAt);
  return {
    event,
    topic,
    key: event.aggregateId,
    value: event.payload,
    headers: {
      ...own,
      event_id: event.eventId,
      created_at: event.createdAt,
      ...(event.eventType === null ? undefined : { event_type: event.eventType }),
      ...(event.aggregateType === null ? undefined : { aggregate_type: event.aggregateType }),
    },
    timestamp: Number.isFinite(micros) ? String(Math.max(0, Math.floor(micros / 1000))) : undefined,
  };
}

export function isMessage(made: Message | Rejection): made is Message {
  return "topic" in made;
}

const none: Readonly<Record<string, string>> = Object.freeze({});

function parseHeaders(text: string | null): Readonly<Record<string, string>> | string {
  if (text === null) return none;
  const parsed: unknown = JSON.parse(text);
  if (parsed === null) return none;
  if (typeof parsed !== "object" || Array.isArray(parsed)) {
    return "headers must be a JSON object of strings";
  }
  for (const [name, value] of Object.entries(parsed)) {
    if (typeof value !== "string") return `header "${name}" is no string: header values must be strings`;
  }
  return parsed as Record<string, string>;
}
