/** A Kafka record becomes the event that `enqueue` wrote, or an error that says what is missing. Pure. */
import { OutriderError } from "../foundation/errors.ts";
import type { HeaderValue, ReceivedMessage } from "./consumer-shape.ts";

/** An event as it arrives at a consumer. */
export interface ConsumedEvent {
  /** The deduplication id: the same event may arrive more than once, always with this id. */
  readonly eventId: string;
  /** The key; the events of one aggregate are handled one after the other. */
  readonly aggregateId: string;
  readonly eventType: string | null;
  readonly aggregateType: string | null;
  /** ISO 8601 with microseconds, as PostgreSQL wrote it. A Date would drop the last three digits. */
  readonly createdAt: string;
  /** Byte for byte what was stored. */
  readonly payload: Buffer;
  /** The payload parsed as JSON. Throws EVENT_UNREADABLE, without a word of the payload. */
  json(): unknown;
  /** All headers as text; of one that came several times, the first. */
  readonly headers: Readonly<Record<string, string>>;
  /** W3C trace context of whoever wrote the event. */
  readonly traceparent: string | null;
  readonly topic: string;
  readonly partition: number;
  /** A 64-bit number as decimal text. */
  readonly offset: string;
}

/** Where a record stands. */
export interface Place {
  readonly topic: string;
  readonly partition: number;
}

const uuidShape = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The event of a record; an error (EVENT_UNREADABLE) instead of a throw, because it has a lane to wait in. */
export function readEvent(place: Place, message: ReceivedMessage): ConsumedEvent | OutriderError {
  const headers = textHeaders(message.headers ?? {});
  const where = `${place.topic}/${place.partition} at offset ${message.offset}`;
  const { event_id: eventId, created_at: createdAt } = headers;
  const aggregateId = message.key?.toString() ?? "";
  const payload = message.value;
  if (eventId === undefined || !uuidShape.test(eventId)) {
    return unreadable(
      where,
      eventId === undefined ? "has no header event_id" : "has an event_id that is no UUID",
    );
  }
  if (createdAt === undefined) return unreadable(where, "has no header created_at");
  if (aggregateId === "") return unreadable(where, "has no key");
  if (payload === null) return unreadable(where, "has no value");
  return {
    eventId,
    aggregateId,
    eventType: headers.event_type ?? null,
    aggregateType: headers.aggregate_type ?? null,
    createdAt,
    payload,
    json: () => parse(payload, where),
    headers,
    traceparent: headers.traceparent ?? null,
    topic: place.topic,
    partition: place.partition,
    offset: message.offset,
  };
}

function unreadable(where: string, problem: string): OutriderError {
  const repair =
    "Outrider did not write it: read a topic that only its relays write to, or use the policy `park`";
  return new OutriderError("EVENT_UNREADABLE", `the record of ${where} ${problem}`, { repair });
}

function parse(payload: Buffer, where: string): unknown {
  try {
    return JSON.parse(payload.toString());
  } catch {
    // The parser's own message quotes the payload, and errors end up in logs.
    throw new OutriderError("EVENT_UNREADABLE", `the payload of the event of ${where} is no JSON`, {
      repair: "read it from `payload`, as bytes",
    });
  }
}

function textHeaders(headers: Readonly<Record<string, HeaderValue | undefined>>): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const first = Array.isArray(value) ? value[0] : value;
    if (first !== undefined) texts[name] = first.toString();
  }
  return texts;
}
