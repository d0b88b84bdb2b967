/**
 * The writers: concurrent transactions that write events as an application does, and in the same
 * transaction copy into an audit table what the database made of them. Only what a successful commit
 * returned for is reported as committed.
 */
import { randomUUID } from "node:crypto";
import type pg from "pg";
import { enqueue } from "../../enqueue/enqueue.ts";
import type { NewEvent } from "../../event/event.ts";
import { type Routing, topicOf } from "../../event/message.ts";
import type { Clock } from "../../foundation/clock.ts";
import { fromPg } from "../../foundation/transaction.ts";
import type { CommittedEvent } from "./auditor.ts";
import { digestOfMd5, envelopeDigestOf } from "./digest.ts";
import {
  type PlannedEvent,
  type PlannedStep,
  type PlannedTransaction,
  spacedJson,
  transactionsOf,
  type Workload,
} from "./workload.ts";

export interface WriterParts {
  readonly schema: string;
  readonly routing: Routing;
  readonly clock: Clock;
  connect(): Promise<pg.Client>;
  /** Called once a commit has returned; `atMs` is that moment on the clock. */
  onCommitted(events: readonly CommittedEvent[], atMs: number): void;
}

/** Runs all writers to their ends, or until the signal fires. Resolves to how many events were rolled back. */
export async function runWriters(
  workload: Workload,
  parts: WriterParts,
  signal: AbortSignal,
): Promise<number> {
  const failure = new AbortController();
  const either = AbortSignal.any([signal, failure.signal]);
  const writers = Array.from({ length: workload.writers }, async (_, writer) => {
    try {
      return await runWriter(workload, writer, parts, either);
    } catch (error) {
      // The others would write on for nobody.
      failure.abort();
      throw error;
    }
  });
  const settled = await Promise.allSettled(writers);
  const failed = settled.find((one) => one.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return settled.reduce((sum, one) => sum + (one.status === "fulfilled" ? one.value : 0), 0);
}

async function runWriter(
  workload: Workload,
  writer: number,
  parts: WriterParts,
  signal: AbortSignal,
): Promise<number> {
  const client = await parts.connect();
  let rolledBack = 0;
  try {
    for (const transaction of transactionsOf(workload, writer)) {
      if (signal.aborted) break;
      const events = await writeTransaction(client, transaction, parts);
      if (transaction.isRolledBack) rolledBack += events.length;
      else parts.onCommitted(events, parts.clock.monotonicMs());
    }
  } finally {
    await client.end();
  }
  return rolledBack;
}

async function writeTransaction(
  client: pg.Client,
  { steps, isRolledBack }: PlannedTransaction,
  parts: WriterParts,
): Promise<CommittedEvent[]> {
  await client.query("begin");
  const planned = new Map<string, PlannedEvent>();
  for (const step of steps.slice(0, -1)) {
    await writeStep(client, step, parts.schema, planned);
    await parts.clock.sleep(step.pauseMs);
  }
  for (const step of steps.slice(-1)) await writeStep(client, step, parts.schema, planned);
  const events = await recordTruth(client, planned, parts);
  // The pause that matters: the rows have their positions, and nobody can see them yet.
  await parts.clock.sleep(steps.at(-1)?.pauseMs ?? 0);
  await client.query(isRolledBack ? "rollback" : "commit");
  return events;
}

async function writeStep(
  client: pg.Client,
  { events, isPlainInsert }: PlannedStep,
  schema: string,
  planned: Map<string, PlannedEvent>,
): Promise<void> {
  if (isPlainInsert) {
    for (const event of events) planned.set(await insertPlainly(client, event, schema), event);
    return;
  }
  const eventIds = await enqueue(fromPg(client), events.map(newEventOf), { schema });
  for (const [index, event] of events.entries()) {
    const eventId = eventIds[index];
    if (eventId !== undefined) planned.set(eventId, event);
  }
}

function newEventOf({ aggregateId, aggregateType, eventType, headers, payload }: PlannedEvent): NewEvent {
  return {
    aggregateId,
    payload,
    headers,
    ...(aggregateType === null ? undefined : { aggregateType }),
    ...(eventType === null ? undefined : { eventType }),
  };
}

/** What an application does that knows nothing of Outrider but the four columns. */
async function insertPlainly(client: pg.Client, event: PlannedEvent, schema: string): Promise<string> {
  const eventId = randomUUID();
  await client.query(
    `insert into ${schema}.undispatched_events (event_id, aggregate_id, created_at, event_payload)
     values ($1, $2, clock_timestamp(), $3)`,
    [eventId, event.aggregateId, spacedJson(event.payload)],
  );
  return eventId;
}

type TruthRow = [eventId: string, aggregateId: string, micros: string, seq: string, md5: string];

async function recordTruth(
  client: pg.Client,
  planned: ReadonlyMap<string, PlannedEvent>,
  { schema, routing }: WriterParts,
): Promise<CommittedEvent[]> {
  const { rows } = await client.query<TruthRow>({
    text: `insert into ${schema}.demo_audit (event_id, aggregate_id, created_at, seq, payload_md5)
      select event_id, aggregate_id, created_at, seq, md5(event_payload::text)
        from ${schema}.undispatched_events where event_id = any($1::uuid[])
      returning event_id, aggregate_id, (extract(epoch from created_at) * 1000000)::bigint::text, seq::text, payload_md5`,
    values: [[...planned.keys()]],
    rowMode: "array",
  });
  return rows.map(([eventId, aggregateId, micros, seq, md5]) => {
    const { eventType = null, aggregateType = null, headers = {} } = planned.get(eventId) ?? {};
    const topic = topicOf({ topic: null, aggregateType }, routing);
    return {
      eventId,
      aggregateId,
      createdAtMicros: Number(micros),
      seq: Number(seq),
      payloadDigest: digestOfMd5(md5),
      envelopeDigest: envelopeDigestOf({ topic, eventType, aggregateType, headers }),
    };
  });
}
