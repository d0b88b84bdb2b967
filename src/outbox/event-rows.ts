/** What the claiming statements answer, turned into events. Every column as PostgreSQL wrote it, but for bytes. */
import type { OutboxEvent } from "../event/event.ts";
import { shardOfSlot } from "../event/shard.ts";
import type { Claim, ClaimLimits, PassedRows } from "./outbox.ts";

export type EventRow = [
  slot: string,
  seq: string,
  /** A JSON string: in quotes, and in ISO form whatever the session's DateStyle. */
  createdAt: string,
  eventId: string,
  aggregateId: string,
  eventType: string | null,
  aggregateType: string | null,
  topic: string | null,
  headers: string | null,
  payload: string | Uint8Array | null,
  payloadBytes: string,
  rowHint: string,
];

type Truth = "t" | "f";

/** `isLastLook`: how far a shard was looked at; an event like any other unless it is blocked. */
export type ClaimRow = [...EventRow, isBlocked?: Truth, isLastLook?: Truth];

export function toEvent(row: readonly [...EventRow, ...unknown[]]): OutboxEvent {
  const [slotText, seq, createdAt, eventId, aggregateId, ...rest] = row;
  const [eventType, aggregateType, topic, headers, payload, payloadBytes, rowHint] = rest;
  const slot = Number(slotText);
  return {
    shard: shardOfSlot(slot),
    slot,
    seq,
    createdAt: createdAt.slice(1, -1),
    eventId,
    aggregateId,
    eventType,
    aggregateType,
    topic,
    headers,
    payload,
    payloadBytes: Number(payloadBytes),
    rowHint,
  };
}

/** Marks beyond the end of a full batch are dropped with the rest: those shards count as not visited. */
export function toClaim(rows: readonly ClaimRow[], { eventsMax, bytesMax }: ClaimLimits): Claim {
  const events: OutboxEvent[] = [];
  const passed: PassedRows[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (events.length >= eventsMax) break;
    const [slotText, seq, createdAt] = row;
    const atSlot = Number(slotText);
    if (row[13] === "t")
      passed.push({ shard: shardOfSlot(atSlot), atSlot, createdAt: createdAt.slice(1, -1), seq });
    if (row[12] === "t") continue;
    const event = toEvent(row);
    events.push(event);
    bytes += event.payloadBytes;
  }
  return { events, isCut: events.length >= eventsMax || bytes >= bytesMax, passed };
}
