/** What the claiming statements answer, turned into events. */
import type { OutboxEvent } from "../event/event.ts";
import type { ShardCursor } from "../event/shard.ts";
import type { Claim, ClaimLimits } from "./outbox.ts";

export type EventRow = [
  shard: number,
  seq: string,
  createdAt: string,
  eventId: string,
  aggregateId: string,
  eventType: string | null,
  aggregateType: string | null,
  topic: string | null,
  headers: string | null,
  payload: string | Uint8Array | null,
  payloadBytes: number,
  rowHint: string,
];

/** `isLastLook`: how far a shard was looked at; an event like any other unless it is blocked. */
export type ClaimRow = [...EventRow, isBlocked?: boolean, isLastLook?: boolean];

export function toEvent(row: readonly [...EventRow, ...unknown[]]): OutboxEvent {
  const [shard, seq, createdAt, eventId, aggregateId, ...rest] = row;
  const [eventType, aggregateType, topic, headers, payload, payloadBytes, rowHint] = rest;
  return {
    shard,
    seq,
    createdAt,
    eventId,
    aggregateId,
    eventType,
    aggregateType,
    topic,
    headers,
    payload,
    payloadBytes,
    rowHint,
  };
}

/** Marks beyond the end of a full batch are dropped with the rest: those shards count as not visited. */
export function toClaim(rows: readonly ClaimRow[], { eventsMax, bytesMax }: ClaimLimits): Claim {
  const events: OutboxEvent[] = [];
  const passed: ShardCursor[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (events.length >= eventsMax) break;
    const [shard, seq, createdAt] = row;
    const [isBlocked, isLastLook] = [row[12] === true, row[13] === true];
    if (isLastLook) passed.push({ shard, createdAt, seq });
    if (isBlocked) continue;
    events.push(toEvent(row));
    bytes += row[10];
  }
  return { events, isCut: events.length >= eventsMax || bytes >= bytesMax, passed };
}
