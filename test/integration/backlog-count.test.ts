/** The count of the backlog, which reads every dead row where vacuum is held back: nobody else waits for it. */
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PostgresOutbox } from "../../src/outbox/postgres-outbox.ts";
import { type MigratedDatabase, migratedDatabase, openOutbox } from "../support/migrated-database.ts";

describe("the count of the backlog", () => {
  let database: MigratedDatabase;
  let outbox: PostgresOutbox;
  let client: pg.Client;

  beforeEach(async () => {
    database = await migratedDatabase();
    outbox = openOutbox(database);
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
  });

  afterEach(async () => {
    await client.end();
    await outbox.close();
    await database.drop();
  });

  it("does not share a session with the claims", async () => {
    await client.query("select pg_advisory_lock(42)");
    const claiming = outbox.reader.query("select pg_advisory_lock_shared(42)");
    expect(await outbox.backlog(10)).toEqual({ events: 0, oldestAgeMs: null });
    await client.query("select pg_advisory_unlock(42)");
    await claiming;
  });

  it("knows how old the oldest is also where there are more than it counts, and it is none of those", async () => {
    const insert = (age: string) =>
      client.query(
        `insert into undispatched_events (aggregate_id, event_payload, created_at)
         values ('a', '{}', clock_timestamp() - $1::interval)`,
        [age],
      );
    await insert("1 minute");
    await insert("1 hour");
    const oldestAgeMs = expect.toSatisfy((ms) => ms >= 3_600_000);
    expect(await outbox.backlog(1)).toEqual({ events: 1, oldestAgeMs });
    expect(await outbox.backlog(9)).toEqual({ events: 2, oldestAgeMs });
  });
});
