/**
 * Statements that PostgreSQL keeps for a session, and poolers that know nothing of it: what is not found there,
 * or is found to be somebody else's, is sent whole.
 */
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { PostgresSession } from "../../src/outbox/postgres-connection.ts";
import { databaseConfig } from "../support/migrated-database.ts";

const question = "select $1::int + 1";
const kept = "select name from pg_prepared_statements where name like 'outrider%'";

describe("a statement that is kept", () => {
  let session: PostgresSession;
  beforeEach(() => {
    session = new PostgresSession(databaseConfig(inject("postgresUrl")), "kept statements");
  });
  afterEach(() => session.close());

  const ask = (n: number) => session.queryKept<[number]>(question, [n]);

  it("is parsed once", async () => {
    expect(await ask(1)).toEqual([[2]]);
    const names = await session.query<[string]>(kept);
    expect(await ask(2)).toEqual([[3]]);
    expect(names).toHaveLength(1);
    expect(await session.query(kept)).toEqual(names);
  });

  it("is sent whole when this backend does not know it", async () => {
    await ask(1);
    await session.query("deallocate all");
    expect(await ask(2)).toEqual([[3]]);
    expect(await ask(3)).toEqual([[4]]);
    expect(await session.query(kept)).toEqual([]);
  });

  it("is sent whole when this backend knows another by its name", async () => {
    await ask(1);
    const [name] = (await session.query<[string]>(kept))[0] ?? [];
    const other = new PostgresSession(databaseConfig(inject("postgresUrl")), "kept statements");
    await other.query(`prepare ${name} as select 'somebody else'`);
    expect(await other.queryKept(question, [1])).toEqual([[2]]);
    expect(await other.queryKept(question, [2])).toEqual([[3]]);
    await other.close();
  });

  it("still fails for what is wrong with itself", async () => {
    await expect(session.queryKept("select 1 / $1::int", [0])).rejects.toMatchObject({
      code: "OUTBOX_FAILED",
    });
  });
});
