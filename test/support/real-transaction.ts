import pg from "pg";
import type { ModelTransaction } from "./memory-outbox.ts";

/** A transaction of an application: its own connection, a plain INSERT. */
export async function beginReal(url: string, payloadType: string): Promise<ModelTransaction> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("begin");
  const end = (statement: string) => async () => {
    await client.query(statement);
    await client.end();
  };
  return {
    insert: async ({ aggregateId, createdAt, payload, topic, headers, aggregateType }) => {
      const cast = payloadType === "bytea" ? "convert_to($3, 'UTF8')" : `$3::${payloadType}`;
      const { rows } = await client.query<{ event_id: string }>(
        `insert into undispatched_events (aggregate_id, created_at, event_payload, topic, headers, aggregate_type)
         values ($1, coalesce($2::timestamptz, clock_timestamp()), ${cast}, $4, $5::jsonb, $6) returning event_id`,
        [
          aggregateId ?? "order-1",
          createdAt ?? null,
          payload ?? "{}",
          topic ?? null,
          headers ?? null,
          aggregateType ?? null,
        ],
      );
      return rows[0]?.event_id ?? "";
    },
    commit: end("commit"),
    rollback: end("rollback"),
  };
}
