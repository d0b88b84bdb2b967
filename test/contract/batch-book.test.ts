import pg from "pg";
import { expect, it } from "vitest";
import { progressUpTo } from "../../src/event/acknowledgement.ts";
import { PostgresBatchBook } from "../../src/outbox/postgres-batch-book.ts";
import { MemoryBatchBook } from "../support/memory-batch-book.ts";
import { databaseConfig, migratedDatabase } from "../support/migrated-database.ts";
import { describeBatchBook } from "./batch-book.contract.ts";

const ids = Array.from({ length: 5 }, (_, n) => `00000000-0000-7000-8000-00000000000${n}`);

describeBatchBook("model", async () => {
  const book = new MemoryBatchBook(ids);
  return {
    book,
    rows: ids.map((eventId) => ({ eventId, rowHint: "(0,1)" })),
    moveRows: async () => undefined,
    rowsLeft: async () => book.rows.size,
    close: async () => undefined,
  };
});

describeBatchBook("PostgreSQL", async () => {
  const database = await migratedDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const insert = "insert into undispatched_events (event_id, aggregate_id, event_payload)";
  for (const id of ids) await client.query(`${insert} values ($1, 'a', '{}')`, [id]);
  const { rows } = await client.query<{ eventId: string; rowHint: string }>(
    `select event_id as "eventId", ctid::text as "rowHint" from undispatched_events order by event_id`,
  );
  const book = new PostgresBatchBook(database.config);
  return {
    book,
    rows,
    moveRows: async () => {
      await client.query(`${insert} select gen_random_uuid(), 'b', '{}' from generate_series(1, 50)`);
      await client.query("delete from undispatched_events where aggregate_id = 'b'");
      await client.query("update undispatched_events set aggregate_id = aggregate_id");
      await client.query("vacuum full undispatched_events");
    },
    rowsLeft: async () => {
      const counted = await client.query<{ n: number }>("select count(*)::int as n from undispatched_events");
      return counted.rows[0]?.n ?? -1;
    },
    close: async () => {
      await book.end();
      await client.end();
      await database.drop();
    },
  };
});

it("a settled batch needs the proof that it was committed", async () => {
  const book = new PostgresBatchBook(databaseConfig("postgres://127.0.0.1/nowhere"));
  const settled = { number: 2, rows: [], progress: progressUpTo(1) };
  expect(() => book.close({ group: 0, term: "1" }, 2, settled)).toThrow("not known to be committed");
});
