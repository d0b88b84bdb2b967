/** Deliveries that meet, isolation levels, batches, savepoints, pruning and rights of the inbox. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fromPg, inbox } from "../../src/index.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";

let database: FreshDatabase;
let client: pg.Client;
const open: pg.Client[] = [];
async function connect(url = database.url): Promise<pg.Client> {
  const opened = new pg.Client(url);
  await opened.connect();
  open.push(opened);
  return opened;
}

beforeEach(async () => {
  database = await freshDatabase();
  client = await connect();
  await migrate(client, { schema: "public", only: "inbox" });
  await client.query("create table effects (event_id uuid, by text)");
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((opened) => opened.end()));
  await database.drop();
});

/** Inside the transaction of `by`; the name stands in the effect. */
const deliver = (by: pg.Client, id: string, name: string) =>
  inbox.once(fromPg(by), "billing", id, () => by.query("insert into effects values ($1, $2)", [id, name]));

const effects = async () =>
  (await client.query<{ by: string }>("select by from effects order by by")).rows.map(({ by }) => by);
const marksCount = async () =>
  Number((await client.query("select count(*) from processed_events")).rows[0].count);
/** Resolves when the backend of that connection waits for a lock. */
async function waits(of: pg.Client): Promise<void> {
  const pid = (of as unknown as { processID: number }).processID;
  for (;;) {
    const { rows } = await client.query("select 1 from pg_locks where pid = $1 and not granted", [pid]);
    if (rows.length > 0) return;
  }
}

describe("two deliveries of one event at once", () => {
  const meeting = async (isolation: string) => {
    const [first, second] = [await connect(), await connect()];
    const id = randomUUID();
    await first.query(`begin isolation level ${isolation}`);
    await second.query(`begin isolation level ${isolation}`);
    // Snapshots of both are taken before either has marked anything.
    for (const one of [first, second]) await one.query("select 1 from effects");
    expect((await deliver(first, id, "first")).isFirst).toBe(true);
    const waiting = deliver(second, id, "second").then(
      ({ isFirst }) => isFirst,
      (thrown: { code: string }) => thrown.code,
    );
    await waits(second);
    return { first, second, id, waiting };
  };

  it("are one effect: the second waits, and skips when the first commits", async () => {
    const { first, second, waiting } = await meeting("read committed");
    await first.query("commit");
    expect(await waiting).toBe(false);
    await second.query("commit");
    expect(await effects()).toEqual(["first"]);
  });

  it("are one effect: the second runs when the first rolls back", async () => {
    const { first, second, waiting } = await meeting("read committed");
    await first.query("rollback");
    expect(await waiting).toBe(true);
    await second.query("commit");
    expect(await effects()).toEqual(["second"]);
  });

  it("are one effect: the second runs when the first one's connection is lost", async () => {
    const { first, second, waiting } = await meeting("read committed");
    first.on("error", () => undefined);
    const pid = (first as unknown as { processID: number }).processID;
    await client.query("select pg_terminate_backend($1)", [pid]);
    expect(await waiting).toBe(true);
    await second.query("commit");
    expect(await effects()).toEqual(["second"]);
  });

  it.each(["repeatable read", "serializable"])(
    "are one effect under %s: the second has to try again",
    async (isolation) => {
      const { first, second, id, waiting } = await meeting(isolation);
      await first.query("commit");
      expect(await waiting).toBe("40001");
      await second.query("rollback");
      await second.query(`begin isolation level ${isolation}`);
      expect((await deliver(second, id, "second")).isFirst).toBe(false);
      await second.query("commit");
      expect(await effects()).toEqual(["first"]);
    },
  );

  it("are one effect each in batches that overlap in opposite orders, without a deadlock", async () => {
    const ids = Array.from({ length: 200 }, () => randomUUID());
    const batch = async (events: readonly string[], name: string) => {
      const by = await connect();
      await by.query("begin");
      await inbox.onceBatch(
        fromPg(by),
        "billing",
        events,
        (id) => id,
        async (fresh) => {
          await by.query("insert into effects select unnest($1::uuid[]), $2", [fresh, name]);
        },
      );
      await by.query("commit");
    };
    await Promise.all([batch(ids, "a"), batch(ids.toReversed(), "b"), batch(ids.slice(50, 150), "c")]);
    const { rows } = await client.query(
      "select count(*)::int as all, count(distinct event_id)::int as different from effects",
    );
    expect(rows).toEqual([{ all: 200, different: 200 }]);
  });
});

describe("an event in a savepoint", () => {
  it("that fails takes neither the savepoint's mark nor its effects along, and the others stay", async () => {
    const [good, bad] = [randomUUID(), randomUUID()];
    await client.query("begin");
    await deliver(client, good, "good");
    await client.query("savepoint one");
    const handled = inbox.once(fromPg(client), "billing", bad, async () => {
      await client.query("insert into effects values ($1, 'bad')", [bad]);
      throw new Error("cannot be booked");
    });
    await expect(handled).rejects.toThrow("cannot be booked");
    await client.query("rollback to savepoint one");
    await client.query("commit");
    expect(await effects()).toEqual(["good"]);
    expect(await marksCount()).toBe(1);
  });
});

describe("the table", () => {
  it("that has lost its key is an error, not a first delivery each time", async () => {
    await client.query("alter table processed_events drop constraint processed_events_pkey");
    await client.query("begin");
    await expect(deliver(client, randomUUID(), "a")).rejects.toMatchObject({ code: "42P10" });
    await client.query("rollback");
  });

  it("needs the rights to insert and select, and to delete for pruning; nothing else", async () => {
    const role = `consumer_${randomUUID().replaceAll("-", "")}`;
    await client.query(`create role ${role} login password 'consumer'`);
    try {
      await client.query(`grant select, insert on processed_events to ${role}`);
      await client.query(`grant insert on effects to ${role}`);
      const url = new URL(database.url);
      url.username = role;
      url.password = "consumer";
      const consumer = await connect(url.href);
      const id = randomUUID();
      for (const isFirst of [true, false]) {
        await consumer.query("begin");
        expect((await deliver(consumer, id, "a")).isFirst).toBe(isFirst);
        await consumer.query("commit");
      }
      const pruned = async () => {
        await consumer.query("begin");
        const removed = inbox.prune(fromPg(consumer), { retentionMs: 3_600_000 });
        return removed.finally(() => consumer.query("commit"));
      };
      await expect(pruned()).rejects.toMatchObject({ code: "42501" });
      await client.query(`grant delete on processed_events to ${role}`);
      expect(await pruned()).toBe(0);
    } finally {
      await client.query(`drop owned by ${role}`);
      await client.query(`drop role ${role}`);
    }
  });
});

describe("pruning", () => {
  const fill = (count: number, age: string) =>
    client.query(
      `insert into processed_events (consumer, event_id, processed_at)
       select 'billing', gen_random_uuid(), clock_timestamp() - $2::interval - n * interval '1 second'
         from generate_series(1, $1::int) n`,
      [count, age],
    );
  const prune = async (by: pg.Client, rowsMax: number) => {
    await by.query("begin");
    const removed = await inbox.prune(fromPg(by), { retentionMs: 24 * 3_600_000, rowsMax });
    await by.query("commit");
    return removed;
  };

  it("deletes the oldest first, at most so many, and never a mark within the retention", async () => {
    await fill(25, "25 hours");
    await fill(10, "23 hours");
    const { rows } = await client.query(
      "select event_id from processed_events order by processed_at desc limit 25",
    );
    expect(await prune(client, 10)).toBe(10);
    const left = await client.query("select event_id from processed_events order by processed_at desc");
    expect(left.rows).toEqual(rows);
    expect([await prune(client, 10), await prune(client, 10), await prune(client, 10)]).toEqual([10, 5, 0]);
    expect(await marksCount()).toBe(10);
  });

  it("lets an event through again whose mark is gone: so long must the retention be", async () => {
    const id = randomUUID();
    for (const age of ["23 hours", "2 hours"]) {
      await client.query("begin");
      await deliver(client, id, age);
      await client.query("commit");
      await client.query("update processed_events set processed_at = processed_at - $1::interval", [age]);
      await prune(client, 10);
    }
    expect(await effects()).toEqual(["23 hours"]);
    await client.query("begin");
    await deliver(client, id, "later");
    await client.query("commit");
    expect(await effects()).toEqual(["23 hours", "later"]);
  });

  it("may run in many places at once: every mark goes once", async () => {
    await fill(2_000, "25 hours");
    const pruners = await Promise.all(Array.from({ length: 4 }, () => connect()));
    const removed = await Promise.all(
      pruners.map(async (pruner) => {
        let sum = 0;
        while ((await marksCount()) > 0) sum += await prune(pruner, 100);
        return sum;
      }),
    );
    expect(removed.reduce((sum, count) => sum + count, 0)).toBe(2_000);
  });

  it("finds what is old through its index", async () => {
    await fill(20_000, "1 hour");
    await client.query("analyze processed_events");
    const { rows } = await client.query(
      `explain select ctid from processed_events where processed_at < statement_timestamp() - 86400000 * interval '1 millisecond' order by processed_at limit 5000`,
    );
    expect(JSON.stringify(rows)).toContain("processed_events_age");
  });
});
