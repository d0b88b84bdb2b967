import pg from "pg";
import { MemoryOutbox, type ModelTransaction } from "../support/memory-outbox.ts";
import { migratedDatabase, openOutbox } from "../support/migrated-database.ts";
import { describeOutbox } from "./outbox.contract.ts";

describeOutbox("model", async () => {
  const outbox = new MemoryOutbox();
  return { outbox, begin: async () => outbox.begin(), close: () => outbox.close() };
});

for (const payloadType of ["json", "jsonb", "bytea"] as const) {
  describeOutbox(`PostgreSQL, ${payloadType}`, async () => {
    const database = await migratedDatabase({ payloadType });
    const outbox = openOutbox(database);
    await outbox.inspect();
    return {
      outbox,
      begin: () => beginReal(database.url, payloadType),
      close: async () => {
        await outbox.close();
        await database.drop();
      },
    };
  });
}

/** A transaction of an application: its own connection, a plain INSERT. */
async function beginReal(url: string, payloadType: string): Promise<ModelTransaction> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("begin");
  const end = (statement: string) => async () => {
    await client.query(statement);
    await client.end();
  };
  return {
    insert: async ({ aggregateId, createdAt, payload, topic, headers }) => {
      const cast = payloadType === "bytea" ? "convert_to($3, 'UTF8')" : `$3::${payloadType}`;
      const { rows } = await client.query<{ event_id: string }>(
        `insert into undispatched_events (aggregate_id, created_at, event_payload, topic, headers)
         values ($1, coalesce($2::timestamptz, clock_timestamp()), ${cast}, $4, $5::jsonb) returning event_id`,
        [aggregateId ?? "order-1", createdAt ?? null, payload ?? "{}", topic ?? null, headers ?? null],
      );
      return rows[0]?.event_id ?? "";
    },
    commit: end("commit"),
    rollback: end("rollback"),
  };
}
