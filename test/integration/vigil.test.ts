/** The statement in which an idle relay waits for new events: it may miss none, whatever the server tells of its log. */
import type pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PostgresOutbox } from "../../src/outbox/postgres-outbox.ts";
import { vigilStatement } from "../../src/outbox/statements.ts";
import { connected, onStage } from "../support/fence-stage.ts";
import { type MigratedDatabase, migratedDatabase, openOutbox } from "../support/migrated-database.ts";

const insert = "insert into undispatched_events (aggregate_id, event_payload) values ('a', '{}')";
const sequence = "public.undispatched_events_seq_seq";

describe("the wait for new events at the server", () => {
  let database: MigratedDatabase;
  let outbox: PostgresOutbox;
  let [writer, waiter]: pg.Client[] = [];

  beforeEach(async () => {
    database = await migratedDatabase();
    outbox = openOutbox(database);
    [writer, waiter] = [await connected(database.url, "writer"), await connected(database.url, "waiter")];
    await writer.query(insert);
  });

  afterEach(async () => {
    await Promise.all([writer?.end(), waiter?.end(), outbox.close()]);
    await database.drop();
  });

  /** The mark that the wait ended with; undefined when it saw no other than the one it was given. */
  async function waited(statement: string, mark: string, steps: number): Promise<string | undefined> {
    const { rows } = await (waiter as pg.Client).query<{ mark: string }>(statement, [mark, 0.002, steps]);
    return rows[0]?.mark;
  }

  async function markNow(): Promise<string> {
    await outbox.inspect();
    return (await outbox.peek()) ?? "";
  }

  describe.each([
    ["with the position of the log", true],
    ["without it", false],
  ])("%s", (_, isLogTold) => {
    const statement = vigilStatement(sequence, isLogTold);

    it("sees what was committed between the mark and the wait; a twin that sleeps first does not", async () => {
      const before = await markNow();
      await writer?.query(insert);
      expect(await waited(statement, before, 0)).toBe(await markNow());
      const twin = statement.replace("generate_series(0,", "generate_series(1,");
      expect(await waited(twin, before, 0)).toBeUndefined();
    });

    it("sees what is written while it waits, and what was begun before it and is committed then", async () => {
      for (const begun of [undefined, "begin", `begin; ${insert}`]) {
        if (begun !== undefined) await writer?.query(begun);
        const before = await markNow();
        const waiting = waited(statement, before, 1_000_000);
        await writer?.query(insert);
        expect(await waiting).toBe(await markNow());
        await writer?.query("commit");
      }
    });

    it("answers nothing when nothing was written", async () => {
      expect(await waited(statement, await markNow(), 3)).toBeUndefined();
    });
  });

  it("reads the sequence each time where the position is kept from the relay", async () => {
    const role = `relay_${crypto.randomUUID().replaceAll("-", "")}`;
    await writer?.query(`create role ${role} login password 'p';
      revoke execute on function pg_catalog.pg_current_wal_insert_lsn() from public;
      grant select on all tables in schema public to ${role};
      grant select on all sequences in schema public to ${role}`);
    const url = new URL(database.url);
    [url.username, url.password] = [role, "p"];
    const limited = openOutbox({ config: { ...database.config, url: url.href } });
    await limited.inspect();
    const before = (await limited.peek()) ?? "";
    const waiting = limited.awaitChange(before, 2, 10_000);
    await writer?.query(insert);
    expect(await waiting).toBe(await markNow());
    await limited.close();
    await writer?.query(`drop owned by ${role}; drop role ${role}`);
  });

  it("leaves nothing for hours that the mark does not tell of: what is dated ahead, or has its number from elsewhere", () =>
    onStage(async ({ database, publisher, ear }) => {
      const client = await connected(database.url, "ahead");
      const columns = "insert into undispatched_events (aggregate_id, event_payload,";
      await client.query(`${columns} created_at) values ('a', '{}', clock_timestamp() + '1 s')`);
      await ear.until(() => publisher.published.length === 1);
      await client.query(`${columns} seq) overriding system value values ('a', '{}', 7000)`);
      await ear.until(() => publisher.published.length === 2);
      await client.end();
    }));

  it("is not begun where sessions take numbers in advance: the sequence would not tell of their inserts", async () => {
    await writer?.query(`alter sequence ${sequence} cache 20`);
    await outbox.inspect();
    expect(await outbox.peek()).toBeNull();
    expect(await outbox.awaitChange("1", 5, 1_000)).toBeNull();
  });
});
