/** What arrived, as the auditor wants it: pure, the same for every way of arriving. */
import { microsOfIso } from "../../event/position.ts";
import type { Arrival } from "../trial/kafka-reception.ts";
import type { ReceivedEvent } from "./auditor.ts";
import { digestOf, envelopeDigestOf } from "./digest.ts";

/** A message without an `event_id` is named by where it is, so that it shows up as a phantom. */
export function receiptOf({ topic, partition, key, headers, payload }: Arrival): ReceivedEvent {
  const { event_id, created_at, event_type, aggregate_type, ...own } = headers;
  return {
    eventId: event_id ?? `(no event_id: key ${key} in ${partition})`,
    key,
    createdAtMicros: microsOfIso(created_at ?? ""),
    payloadDigest: digestOf(payload),
    envelopeDigest: envelopeDigestOf({
      topic,
      eventType: event_type ?? null,
      aggregateType: aggregate_type ?? null,
      headers: own,
    }),
    partition,
  };
}
