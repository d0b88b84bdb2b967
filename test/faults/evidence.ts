/** What there is to judge: the audit table, the topic, and both compared while the run goes on. */
import { createHash } from "node:crypto";
import type pg from "pg";
import { readTopic } from "../support/topics.ts";
import type { Audited, Recorded } from "./judge.ts";

export async function auditedBy(client: pg.Client): Promise<Audited[]> {
  const { rows } = await client.query<Audited>(
    `select event_id as "eventId", aggregate_id as "aggregateId", to_json(created_at)#>>'{}' as "createdAt",
            seq::text, payload_md5 as "payloadMd5" from fault_audit`,
  );
  return rows;
}

export async function recordsIn(brokers: readonly string[], topic: string): Promise<Recorded[]> {
  const received = await readTopic(brokers, topic);
  return received.map(({ partition, offset, key, bytes, headers }) => ({
    partition,
    offset,
    aggregateId: key ?? "",
    eventId: headers.event_id ?? "",
    createdAt: headers.created_at ?? "",
    payloadMd5: createHash("md5")
      .update(bytes ?? "")
      .digest("hex"),
  }));
}

/** Events that were committed and are no longer in the outbox. */
export async function removedFrom(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ event_id: string }>(
    "select event_id from fault_audit where event_id not in (select event_id from undispatched_events)",
  );
  return rows.map(({ event_id }) => event_id);
}
