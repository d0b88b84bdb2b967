/** The demo's own table, beside the outbox, that holds the truth. */
import type pg from "pg";
import { connectTo, type ScratchDatabase } from "../trial/scratch-database.ts";

export async function createAuditTable(client: pg.Client, schema: string): Promise<void> {
  await client.query(`create table ${schema}.demo_audit (
    event_id uuid primary key,
    aggregate_id text not null,
    created_at timestamptz not null,
    seq bigint not null,
    payload_md5 text not null
  )`);
}

/** How many rows one of the demo's tables has. */
export async function countRows(
  { environment, schema }: ScratchDatabase,
  table: "undispatched_events" | "demo_audit",
): Promise<number> {
  const client = await connectTo(environment);
  try {
    const { rows } = await client.query<{ count: string }>(`select count(*) from ${schema}.${table}`);
    return Number(rows[0]?.count);
  } finally {
    await client.end();
  }
}
