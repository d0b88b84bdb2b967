/**
 * Fingerprints that stand in for contents: 48 bits of MD5, because PostgreSQL can make the same one
 * inside the writer's transaction. Against accidents, which is all an audit of ourselves needs.
 */
import { createHash } from "node:crypto";

const hexDigits = 12;

export function digestOf(content: string | Uint8Array): number {
  return digestOfMd5(createHash("md5").update(content).digest("hex"));
}

/** From the 32 hexadecimal digits that `md5()` gives in PostgreSQL. */
export function digestOfMd5(hex: string): number {
  return Number.parseInt(hex.slice(0, hexDigits), 16);
}

export interface Envelope {
  readonly topic: string;
  readonly eventType: string | null;
  readonly aggregateType: string | null;
  /** The event's own headers, without those that the relay adds. */
  readonly headers: Readonly<Record<string, string>>;
}

/** One number for all that is around the payload; the order of headers does not matter. */
export function envelopeDigestOf({ topic, eventType, aggregateType, headers }: Envelope): number {
  const own = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
  return digestOf(JSON.stringify([topic, eventType, aggregateType, own]));
}
