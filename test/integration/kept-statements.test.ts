/**
 * Statements that PostgreSQL keeps for a session, and poolers that know nothing of it: what is not found there,
 * or is found to be somebody else's, is sent whole.
 */
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { PostgresSession } from "../../src/outbox/postgres-session.ts";
import {
  anySlot,
  claimInStepStatement,
  claimStatement,
  plainArray,
  removeStatement,
} from "../../src/outbox/statements.ts";
import { databaseConfig, migratedDatabase } from "../support/migrated-database.ts";

const always = { keep: "always" } as const;
const question = "select $1::int + 1";
const kept = "select name from pg_prepared_statements where name like 'outrider%'";

describe("a statement that is kept", () => {
  let session: PostgresSession;
  beforeEach(() => {
    session = new PostgresSession(databaseConfig(inject("postgresUrl")), "kept statements");
  });
  afterEach(() => session.close());

  const ask = (n: number) => session.query<[number]>(question, [n], always);

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
    expect(await other.query(question, [1], always)).toEqual([[2]]);
    expect(await other.query(question, [2], always)).toEqual([[3]]);
    await other.close();
  });

  it("answers as texts the second time what it answered the first time: bytes, nothing, and every letter", async () => {
    const texts = { keep: "always", isTexts: true } as const;
    const text =
      "select $1::int, null::bytea, convert_to($2, 'UTF8'), null::text, $2::text from generate_series(1, 2)";
    const row = ["7", null, Buffer.from("à 'quoted'"), null, "à 'quoted'"];
    for (let asked = 0; asked < 3; asked += 1)
      expect(await session.query(text, [7, "à 'quoted'"], texts)).toEqual([row, row]);
  });

  it("tells how many rows it touched", async () => {
    const texts = { keep: "always", isTexts: true } as const;
    await session.query("create temporary table touched (n int)");
    const insert = "insert into touched select generate_series(1, $1::int)";
    expect(await session.execute(insert, [3], texts)).toBe(3);
    expect(await session.execute(insert, [40], texts)).toBe(40);
    expect(await session.execute("select from touched where n > $1::int", [100], texts)).toBe(0);
  });

  it("still fails for what is wrong with itself, the second time as the first", async () => {
    for (const texts of [{}, { isTexts: true }]) {
      const how = { ...always, ...texts };
      const failure = { code: "OUTBOX_FAILED", message: expect.stringContaining("division by zero") };
      await expect(session.query("select 1 / $1::int", [0], how)).rejects.toMatchObject(failure);
      expect(await session.query("select 1 / $1::int", [1], how)).toHaveLength(1);
      await expect(session.query("select 1 / $1::int", [0], how)).rejects.toMatchObject(failure);
      expect(await session.query("select 1 / $1::int", [1], how)).toHaveLength(1);
    }
  });

  it("that outlives its time-out ends its connection, and the next one has another", async () => {
    const config = databaseConfig(inject("postgresUrl"), { statementTimeoutMs: 300 });
    const impatient = new PostgresSession(config, "kept statements");
    const wait = "select pg_sleep($1::float8), pg_backend_pid()::text";
    const texts = { keep: "always", isTexts: true } as const;
    const [[, first] = []] = await impatient.query<[string, string]>(wait, [0], texts);
    // The server's own limit is out of the way: then the driver's ends it.
    await impatient.query("set statement_timeout = 0");
    await expect(impatient.query(wait, [60], texts)).rejects.toMatchObject({ code: "OUTBOX_UNAVAILABLE" });
    const [[, second] = []] = await impatient.query<[string, string]>(wait, [0], texts);
    expect(second).not.toBe(first);
    await session.query("select pg_terminate_backend($1::int)", [first]);
    await impatient.close();
  });
});

describe("several statements in one message", () => {
  const first = { text: "select pg_advisory_lock_shared($1)::text", values: [4_711] };
  const second = { text: "select count(*) from seen where n = $1", values: [1] };

  /** Answers what the second sees of a row that is committed while the first is under way. */
  async function seenBySecond(isolation: string): Promise<unknown> {
    const database = await migratedDatabase();
    const other = new pg.Client({ connectionString: database.url });
    await other.connect();
    const session = new PostgresSession(database.config, "together", { isPinned: true });
    try {
      await other.query(`create table seen (n int); alter database ${new URL(database.url).pathname.slice(1)}
        set default_transaction_isolation = 'repeatable read'`);
      await session.query(`set default_transaction_isolation = '${isolation}'`);
      expect(await session.queryTogether([first, second])).toBeNull();
      for (const { text, values } of [first, second]) await session.query(text, values, always);
      await session.query("select pg_advisory_unlock_all()");
      await other.query("select pg_advisory_lock(4711)");
      const answer = session.queryTogether([first, second]);
      for (;;) {
        const { rows } = await other.query(
          "select from pg_locks where locktype = 'advisory' and not granted",
        );
        if (rows.length > 0) break;
      }
      await other.query("insert into seen values (1)");
      await other.query("select pg_advisory_unlock(4711)");
      return (await answer)?.[1]?.[0]?.[0];
    } finally {
      await session.close();
      await other.end();
      await database.drop();
    }
  }

  it("have a snapshot each: the second sees what was committed during the first", async () => {
    expect(await seenBySecond("read committed")).toBe("1");
  });

  it("would share one in a database that reads repeatably, which the session's own settings rule out", async () => {
    expect(await seenBySecond("repeatable read")).toBe("0");
    const database = await migratedDatabase();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(
      `alter database ${new URL(database.url).pathname.slice(1)} set default_transaction_isolation = 'repeatable read'`,
    );
    await client.end();
    const session = new PostgresSession(database.config, "together", { isPinned: true });
    expect(await session.query("show transaction_isolation")).toEqual([["read committed"]]);
    await session.close();
    await database.drop();
  });

  it("end with the first that fails: those behind it are not run, and nothing of those before it stays", async () => {
    const session = new PostgresSession(databaseConfig(inject("postgresUrl")), "together", {
      isPinned: true,
    });
    await session.query("create temporary table written (n int)");
    const insert = { text: "insert into written select $1::int", values: [1] };
    const divide = (by: number) => ({ text: "select 1 / $1::int", values: [by] });
    await session.query(insert.text, insert.values, always);
    await session.query(divide(1).text, divide(1).values, always);
    await expect(session.queryTogether([insert, divide(0), insert])).rejects.toMatchObject({
      code: "OUTBOX_FAILED",
    });
    expect(await session.query("select count(*)::int from written")).toEqual([[1]]);
    expect(await session.queryTogether([insert, divide(1), insert])).toEqual([[], [["1"]], []]);
    expect(await session.query("select count(*)::int from written")).toEqual([[3]]);
    await session.close();
  });

  it("are asked one by one again when the backend has forgotten them", async () => {
    const session = new PostgresSession(databaseConfig(inject("postgresUrl")), "together", {
      isPinned: true,
    });
    const one = { text: "select $1::int", values: [1] };
    await session.query(one.text, one.values, always);
    expect(await session.queryTogether([one, one])).toEqual([[["1"]], [["1"]]]);
    await session.query("deallocate all");
    expect(await session.queryTogether([one, one])).toBeNull();
    expect(await session.queryTogether([one, one])).toBeNull();
    expect(await session.query(one.text, one.values, always)).toEqual([[1]]);
    await session.close();
  });
});

const pinned = { keep: "pinned" } as const;
const table = "public.undispatched_events";
const until = "2100-01-01T00:00:00Z";
const claim = {
  text: claimStatement(table, "json"),
  values: [
    plainArray([1, 2]),
    plainArray(["2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z"]),
    plainArray([0, 0]),
    plainArray([until, until]),
    1_000,
    1_000,
    1_000_000,
    1_000_000,
    plainArray([anySlot, anySlot]),
  ],
};
const claimInStep = {
  text: claimInStepStatement(table, "json"),
  values: [plainArray([1, 2]), "2000-01-01T00:00:00Z", 0, until, 1_000, 1_000_000, 1_000_000],
};
const remove = {
  text: removeStatement(table),
  values: [
    plainArray(Array.from({ length: 40 }, (_, n) => `(0,${n + 1})`)),
    plainArray(Array.from({ length: 40 }, (_, n) => `00000000-0000-7000-8000-0000000000${10 + n}`)),
  ],
};

/** As `explain` shows it, once the plan for any values was made on an empty table, and the table has grown. */
async function planOf(url: string, { text, values }: typeof claim, isPinned: boolean): Promise<string> {
  const session = new PostgresSession(databaseConfig(url), "kept plans", { isPinned });
  try {
    for (let asked = 0; asked < 8; asked += 1)
      await session.query(text, values, { keep: isPinned ? "pinned" : "always" });
    const [kept] = await session.query<[string, string]>(
      "select name, generic_plans::text from pg_prepared_statements where statement = $1",
      [text],
    );
    expect(Number(kept?.[1])).toBeGreaterThan(0);
    await session.query(
      `insert into ${table} (aggregate_id, event_payload) select 'a-' || n, '{}' from generate_series(1, 20000) as n`,
    );
    const literals = values.map((value) => (typeof value === "number" ? String(value) : `'${value}'`));
    const lines = await session.query<[string]>(`explain execute ${kept?.[0]}(${literals.join(", ")})`);
    return lines.join("\n");
  } finally {
    await session.close();
  }
}

describe("a plan that is kept", () => {
  let database: Awaited<ReturnType<typeof migratedDatabase>>;
  beforeEach(async () => {
    database = await migratedDatabase();
  });
  afterEach(() => database.drop());

  it("reads by index, though it was made on an empty table: a claim", async () => {
    const plan = await planOf(database.url, claim, true);
    expect(plan).toContain("Index Scan using");
    expect(plan).not.toContain("Seq Scan");
  });

  it("reads by index and sorts nothing, though it was made on an empty table: a claim in step", async () => {
    const plan = await planOf(database.url, claimInStep, true);
    expect(plan).toContain("Index Scan using undispatched_events_order");
    expect(plan).not.toMatch(/Seq Scan|Sort/);
  });

  it("reads by address, though it was made on an empty table: a removal", async () => {
    const plan = await planOf(database.url, remove, true);
    expect(plan).toContain("Tid Scan");
    expect(plan).not.toContain("Seq Scan");
  });

  it("would read everything in a session that is not bound to indexes", async () => {
    expect(await planOf(database.url, remove, false)).toContain("Seq Scan");
  });

  it("is not kept where the session is not bound: options in the address stand in the place of ours", async () => {
    const url = `${database.url}?options=${encodeURIComponent("-c search_path=public")}`;
    const session = new PostgresSession(databaseConfig(url), "kept plans", { isPinned: true });
    await session.query(claim.text, claim.values, pinned);
    expect(await session.query(kept)).toEqual([]);
    await session.close();
  });
});
