import type { Position } from "./position.ts";

/** A row of `undispatched_events`, as the relay claimed it. */
export interface OutboxEvent extends Position {
  readonly eventId: string;
  readonly aggregateId: string;
  readonly shard: number;
  /** Of the same hash, and finer: what writers announce. */
  readonly slot: number;
  readonly eventType: string | null;
  readonly aggregateType: string | null;
  readonly topic: string | null;
  /** The `headers` column as JSON text; parsed only when the message is made. */
  readonly headers: string | null;
  /** Exactly the stored bytes (text for json and jsonb). Null when it is over `payloadBytesMax`. */
  readonly payload: string | Uint8Array | null;
  readonly payloadBytes: number;
  /** Where PostgreSQL keeps the row (`ctid`): a hint that makes the delete cheap, never a proof. */
  readonly rowHint: string;
}

/** An event as an application hands it to `enqueue`. */
export interface NewEvent {
  /** Defaults to a new UUIDv7. The deduplication id end to end. */
  readonly eventId?: string;
  /** The root of the aggregate; the Kafka key. 1 to 1,024 characters. */
  readonly aggregateId: string;
  /** Anything JSON can express, or bytes when the table was migrated with `bytea`. */
  readonly payload: unknown;
  readonly eventType?: string;
  readonly aggregateType?: string;
  /** Overrides the topic template. */
  readonly topic?: string;
  /** Kafka headers; `traceparent` is added when OpenTelemetry's API is present. */
  readonly headers?: Readonly<Record<string, string>>;
}
