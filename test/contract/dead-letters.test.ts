import pg from "pg";
import { describe, expect, it } from "vitest";
import { PostgresDeadLetters } from "../../src/outbox/postgres-dead-letters.ts";
import { PostgresOutbox } from "../../src/outbox/postgres-outbox.ts";
import { PostgresSession } from "../../src/outbox/postgres-session.ts";
import { MemoryDeadLetters } from "../support/memory-dead-letters.ts";
import { MemoryOutbox } from "../support/memory-outbox.ts";
import { migratedDatabase } from "../support/migrated-database.ts";
import { beginReal } from "../support/real-transaction.ts";
import { describeDeadLetters } from "./dead-letters.contract.ts";

const routing = { topicTemplate: "outbox.event.${aggregate_type}", topicDefault: "outbox.event" };

describeDeadLetters("model", async () => {
  const outbox = new MemoryOutbox();
  return {
    outbox,
    letters: new MemoryDeadLetters(outbox),
    begin: async () => outbox.begin(),
    close: () => outbox.close(),
  };
});

for (const payloadType of ["json", "jsonb", "bytea"] as const) {
  describeDeadLetters(`PostgreSQL, ${payloadType}`, async () => {
    const database = await migratedDatabase({ payloadType });
    const outbox = new PostgresOutbox(database.config, []);
    return {
      outbox,
      letters: new PostgresDeadLetters(outbox.reader, database.config.schema, routing),
      begin: () => beginReal(database.url, payloadType),
      close: async () => {
        await outbox.close();
        await database.drop();
      },
    };
  });
}

describe("dead letters on PostgreSQL and the fence", () => {
  it("a move out is no writer to the fence, a redrive is", async () => {
    const database = await migratedDatabase();
    const outbox = new PostgresOutbox(database.config, []);
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query("insert into undispatched_events (aggregate_id, event_payload) values ('a', '{}')");
    const { rows } = await client.query<{ event_id: string }>("select event_id from undispatched_events");
    const eventId = rows[0]?.event_id ?? "";
    // The statements of the adapter, held open in a transaction so that a look falls into them.
    const open = {
      query: async (text: string, values: unknown[]) =>
        (await client.query({ text, values, rowMode: "array" })).rows as unknown[][],
    };
    const letters = new PostgresDeadLetters(open as unknown as PostgresSession, "public", routing);
    await client.query("begin");
    expect(
      await letters.deadLetter([{ eventId, reason: "topic-unknown", message: "m", attempts: 1 }]),
    ).toEqual([eventId]);
    expect((await outbox.look()).writers).toEqual([]);
    await client.query("commit");
    await client.query("begin");
    const deadUntil = await letters.now();
    expect(await letters.redrive({}, { after: undefined, lettersMax: 10 }, deadUntil)).toHaveLength(1);
    expect((await outbox.look()).writers).toHaveLength(1);
    await client.query("commit");
    await client.end();
    await outbox.close();
    await database.drop();
  });

  it("says what mends a missing table and a missing right", async () => {
    const database = await migratedDatabase();
    const session = new PostgresSession(database.config, "test");
    const letters = new PostgresDeadLetters(session, "public", routing);
    await session.query("drop table outrider_dead_letters");
    await expect(letters.list({}, { after: undefined, lettersMax: 1 })).rejects.toMatchObject({
      code: "OUTBOX_UNFIT",
      repair: "outrider migrate",
    });
    const outbox = new PostgresOutbox(database.config, []);
    expect((await outbox.inspect()).map(({ code }) => code)).toContain("dead-letters-missing");
    await outbox.close();
    await session.close();
    await database.drop();
  });
});
