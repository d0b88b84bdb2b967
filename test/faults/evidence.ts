/**
 * What there is to judge: the audit table, the topic as a consumer of this delivery mode reads it, and
 * both compared while the run goes on.
 */
import { createHash } from "node:crypto";
import type pg from "pg";
import { type Isolation, readTopic } from "../support/topics.ts";
import type { Delivery } from "./delivery.ts";
import type { Audited, Recorded } from "./judge.ts";

export async function auditedBy(client: pg.Client): Promise<Audited[]> {
  const { rows } = await client.query<Audited>(
    `select event_id as "eventId", aggregate_id as "aggregateId", to_json(created_at)#>>'{}' as "createdAt",
            seq::text, payload_md5 as "payloadMd5" from fault_audit`,
  );
  return rows;
}

/** Events that were committed and are no longer in the outbox. */
export async function removedFrom(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ event_id: string }>(
    "select event_id from fault_audit where event_id not in (select event_id from undispatched_events)",
  );
  return rows.map(({ event_id }) => event_id);
}

export class TopicEvidence {
  readonly #brokers: readonly string[];
  readonly #topic: string;
  readonly #delivery: Delivery;
  readonly #earlier: Recorded[] = [];

  constructor(brokers: readonly string[], topic: string, delivery: Delivery) {
    this.#brokers = brokers;
    this.#topic = topic;
    this.#delivery = delivery;
  }

  /** Keeps what the topic holds now for the judgement, as the topic is about to be deleted. */
  async remember(): Promise<void> {
    this.#earlier.push(...(await this.#read(this.#settled)));
  }

  /** Of these events those that are not in the topic. An open transaction of others hides nothing here. */
  async absent(eventIds: readonly string[]): Promise<string[]> {
    const there = new Set(
      [...this.#earlier, ...(await this.#read(this.#settled))].map(({ eventId }) => eventId),
    );
    return eventIds.filter((eventId) => !there.has(eventId));
  }

  /** What a consumer has read by now, from the first record on. */
  async consumed(): Promise<Recorded[]> {
    const isolation = this.#delivery === "exactly-once" ? "committed" : "uncommitted";
    return [...this.#earlier, ...(await this.#read(isolation))];
  }

  /** Records that only a consumer of uncommitted ones sees. */
  async abortedCount(): Promise<number> {
    return (await this.#read("uncommitted")).length - (await this.#read("committed")).length;
  }

  get #settled(): Isolation {
    return this.#delivery === "exactly-once" ? "decided" : "uncommitted";
  }

  async #read(isolation: Isolation): Promise<Recorded[]> {
    const received = await readTopic(this.#brokers, this.#topic, { isolation });
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
}
