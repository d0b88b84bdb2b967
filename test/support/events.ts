/** Makes claimed events for tests; every field can be said, none has to be. */
import type { OutboxEvent } from "../../src/event/event.ts";
import { isoOfMicros } from "../../src/event/position.ts";

export function anEvent(given: Partial<OutboxEvent> & { readonly at?: number } = {}): OutboxEvent {
  const { at = 1_000_000, ...fields } = given;
  const seq = fields.seq ?? "1";
  return {
    eventId: `00000000-0000-7000-8000-${seq.padStart(12, "0")}`,
    aggregateId: "order-1",
    shard: 0,
    slot: given.shard ?? 0,
    createdAt: isoOfMicros(at),
    seq,
    eventType: null,
    aggregateType: null,
    topic: null,
    headers: null,
    payload: '{"n":1}',
    payloadBytes: 7,
    rowHint: "(0,1)",
    ...fields,
  };
}
