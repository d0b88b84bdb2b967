/**
 * Cuts a queue of messages into what one `sendBatch` may carry. Pure.
 *
 *     queue   a1 b1 a2 c1 a3 …          in order per aggregate
 *     chunk   slot (orders, 0): a1 a2    one record batch each: the broker takes all of a slot or none
 *             slot (orders, 3): b1
 *     rest    c1 a3 …                    for the next chunk, in the same order
 *
 * Two rules keep the lanes in order whatever the broker answers:
 * - an aggregate is in at most one slot of a chunk. Two slots can fare differently, and an event must
 *   never be accepted while an earlier one of its aggregate is refused;
 * - once an event has to wait, everything later of its aggregate waits too.
 */

import type { OutboxEvent } from "../event/event.ts";
import type { Message } from "../event/message.ts";

/** A message with its place, ready to be written into a record batch. */
export interface Outgoing {
  readonly event: OutboxEvent;
  readonly topic: string;
  readonly partition: number;
  /** Upper bound of its size in a record batch, uncompressed. */
  readonly bytes: number;
  readonly key: string;
  readonly value: string | Uint8Array;
  /** Of the value alone, exactly. */
  readonly valueBytes: number;
  readonly headers: Record<string, string>;
  readonly timestamp: string;
}

/** The messages of one (topic, partition) in one chunk: one record batch. */
export interface Slot {
  readonly topic: string;
  readonly partition: number;
  readonly messages: Outgoing[];
  bytes: number;
  isFull: boolean;
}

export interface ChunkLimits {
  /** Largest record batch of a topic. A single message above it still travels, alone. */
  bytesMax(topic: string): number;
  /** Most messages of a partition in one chunk; infinite unless a refused record is being isolated. */
  eventsMax(topic: string, partition: number): number;
}

export interface Chunk {
  readonly slots: readonly Slot[];
  readonly rest: readonly Outgoing[];
}

/** Fixed part of a record (lengths, deltas, attributes) at their largest, and of each header. */
const recordOverheadBytes = 32;
const headerOverheadBytes = 8;

export function toOutgoing(message: Message, partition: number, nowMs: number): Outgoing {
  const { event, topic, key, value, headers } = message;
  const valueBytes = typeof value === "string" ? Buffer.byteLength(value) : value.byteLength;
  let bytes = recordOverheadBytes + Buffer.byteLength(key) + valueBytes;
  for (const name in headers) {
    bytes += headerOverheadBytes + Buffer.byteLength(name) + Buffer.byteLength(headers[name] as string);
  }
  return {
    event,
    topic,
    partition,
    bytes,
    key,
    value,
    valueBytes,
    headers,
    timestamp: message.timestamp ?? String(nowMs),
  };
}

export function cutChunk(queue: readonly Outgoing[], limits: ChunkLimits): Chunk {
  const slots: Slot[] = [];
  const byTopic = new Map<string, Slot[]>();
  const homes = new Map<string, Slot>();
  const waiting = new Set<string>();
  const rest: Outgoing[] = [];
  for (const message of queue) {
    const lane = message.event.aggregateId;
    if (waiting.has(lane)) {
      rest.push(message);
      continue;
    }
    const slot = slotOf(message, byTopic, slots);
    const home = homes.get(lane) ?? slot;
    if (home === slot && !hasRoom(slot, message, limits)) slot.isFull = true;
    if (home === slot && !slot.isFull) {
      homes.set(lane, slot);
      slot.messages.push(message);
      slot.bytes += message.bytes;
    } else {
      waiting.add(lane);
      rest.push(message);
    }
  }
  return { slots: slots.filter(({ messages }) => messages.length > 0), rest };
}

function slotOf({ topic, partition }: Outgoing, byTopic: Map<string, Slot[]>, slots: Slot[]): Slot {
  let ofTopic = byTopic.get(topic);
  if (ofTopic === undefined) {
    ofTopic = [];
    byTopic.set(topic, ofTopic);
  }
  let slot = ofTopic[partition];
  if (slot === undefined) {
    slot = { topic, partition, messages: [], bytes: batchOverheadBytes, isFull: false };
    ofTopic[partition] = slot;
    slots.push(slot);
  }
  return slot;
}

const batchOverheadBytes = 61;

/** An empty slot takes anything: a message that is too large for any batch is the broker's to refuse. */
function hasRoom(slot: Slot, message: Outgoing, limits: ChunkLimits): boolean {
  if (slot.messages.length === 0) return true;
  return (
    slot.bytes + message.bytes <= limits.bytesMax(slot.topic) &&
    slot.messages.length < limits.eventsMax(slot.topic, slot.partition)
  );
}
