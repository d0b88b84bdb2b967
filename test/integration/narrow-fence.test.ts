/**
 * The narrow fence on a real PostgreSQL: what an open writer holds back, what it does not, and what would go
 * wrong if the time were read before the announcement. That order holds under concurrent commits is shown in
 * `fence.test.ts`, with and without it.
 */
import { once } from "node:events";
import type pg from "pg";
import { describe, expect, it } from "vitest";
import { migrate } from "../../src/outbox/migrator.ts";
import { lookStatement } from "../../src/outbox/statements.ts";
import {
  connected,
  type FenceStage,
  insert,
  onStage,
  polls,
  race,
  twoPhaseClient,
  withLooks,
} from "../support/fence-stage.ts";
import { migratedDatabase, openOutbox } from "../support/migrated-database.ts";

/** The broken twin: it believes that writers announce, and does not read what. */
const unread = withLooks((look) => ({
  ...look,
  writers: look.writers.map((writer) => ({ ...writer, slots: writer.slots && [] })),
}));

const narrow = { narrowFence: true } as const;
const trigger = "zz_outrider_announce_slot";

/** Some aggregate of the same slot as `aggregateId`, or of another one of the same shard, or of another shard. */
async function neighbour(
  client: pg.Client,
  aggregateId: string,
  of: "slot" | "shard" | "none",
): Promise<string> {
  const { rows } = await client.query<{ id: string }>(
    `select 'neighbour-' || n as id from generate_series(1, 200000) as n
      where case when (hashtext('neighbour-' || n) & 4095) = (hashtext($1) & 4095) then 'slot'
                 when (hashtext('neighbour-' || n) & 63) = (hashtext($1) & 63) then 'shard'
                 else 'none' end = $2 limit 1`,
    [aggregateId, of],
  );
  return rows[0]?.id ?? "";
}

const publishedAggregates = ({ publisher }: FenceStage) =>
  publisher.published.map(({ aggregateId }) => aggregateId);

async function slotsHeld({ database }: FenceStage): Promise<readonly (readonly number[] | null)[]> {
  const outbox = openOutbox(database);
  try {
    return (await outbox.look()).writers.map(({ slots }) => slots);
  } finally {
    await outbox.close();
  }
}

/**
 * A look that is held up between its two messages, bound by then and not yet executed. Meanwhile the trigger goes and
 * somebody writes without it. Returns the look's clock, what it believes of that writer, and the writer's own time.
 */
async function heldUpLook(statement: string) {
  const database = await migratedDatabase(narrow);
  const looker = await connected(database.url, "looker");
  const writer = await connected(database.url, "writer");
  try {
    const rows: (string | null)[][] = [];
    const { values } = lookStatement("public.undispatched_events", null, null);
    const { connection } = looker as unknown as { readonly connection: pg.Connection };
    looker.query({
      submit: () => {
        connection.parse({ text: statement, name: "" } as pg.QueryParse, true);
        connection.bind({ values: values.map(String) }, true);
        connection.flush();
      },
      handleDataRow: ({ fields }: { readonly fields: (string | null)[] }) => rows.push(fields),
      handleCommandComplete: () => undefined,
      handleReadyForQuery: () => undefined,
    } as pg.Submittable);
    await once(connection, "bindComplete");
    await writer.query(`drop trigger ${trigger} on undispatched_events`);
    await writer.query("begin");
    const micros = "(extract(epoch from created_at) * 1000000)::bigint::text as at";
    const written = await writer.query<{ at: string }>(`${insert} returning ${micros}`, ["a"]);
    connection.execute({}, true);
    connection.sync();
    await once(connection, "readyForQuery");
    const [clock, , , shards] = rows[0] ?? [];
    return { clock: Number(clock), shards, writtenAt: Number(written.rows[0]?.at) };
  } finally {
    await Promise.all([looker.end(), writer.end()]);
    await database.drop();
  }
}

/**
 * One writer is stopped between the default of `created_at` and its announcement; meanwhile another one writes
 * to the same aggregate, commits and is published. Returns what was published, in that order.
 */
async function stoppedBeforeAnnouncing(stage: FenceStage): Promise<readonly string[]> {
  const { database, publisher, relay, ear } = stage;
  const [gatekeeper, stopped, quick] = await Promise.all(
    ["gatekeeper", "stopped", "quick"].map((name) => connected(database.url, name)),
  );
  if (gatekeeper === undefined || stopped === undefined || quick === undefined)
    throw new Error("three clients");
  await gatekeeper.query(`
    create function wait_at_the_gate() returns trigger language plpgsql as $$
    begin
      if current_setting('application_name') = 'stopped' then perform pg_advisory_xact_lock(42); end if;
      return new;
    end $$;
    create trigger aa_gate before insert on undispatched_events for each row execute function wait_at_the_gate()`);
  await gatekeeper.query("select pg_advisory_lock(42)");
  const stuck = stopped.query(insert.replace("'{}'", `'"stopped"'`), ["a"]);
  for (;;) {
    const { rows } = await gatekeeper.query(
      "select from pg_locks where locktype = 'advisory' and not granted",
    );
    if (rows.length === 1) break;
  }
  await polls(stage, 3);
  await quick.query(insert.replace("'{}'", `'"quick"'`), ["a"]);
  // The relay polls all the while: where the time is read too early, it may have passed this one over as well.
  relay.sweepSoon();
  await ear.until(() => publisher.published.length === 1);
  await gatekeeper.query("select pg_advisory_unlock(42)");
  await stuck;
  relay.sweepSoon();
  await ear.until(() => publisher.published.length === 2);
  await Promise.all([gatekeeper.end(), stopped.end(), quick.end()]);
  return publisher.published.map(({ createdAt }) => createdAt);
}

describe("the narrow fence", () => {
  it("is seen to lose order by its twin that does not read the announcements", async () => {
    const seed = Math.floor(Math.random() * 1e6);
    const { inversions } = await race(seed, { ...narrow, twist: unread });
    console.log(`seed ${seed}: ${inversions} inversions without reading the announcements`);
    expect(inversions).toBeGreaterThan(100);
  });

  it("has a clock from before the catalog was read: who writes without the trigger is younger", async () => {
    const { text } = lookStatement("public.undispatched_events", null, null);
    const seen = await heldUpLook(text);
    expect(seen.shards).toBe("");
    expect(seen.clock).toBeLessThan(seen.writtenAt);
    const twin = await heldUpLook(text.replace("transaction_timestamp()", "statement_timestamp()"));
    expect(twin.shards).toBe("");
    expect(twin.clock).toBeGreaterThan(twin.writtenAt);
  });

  it("holds back the slot that an open writer has touched, and nobody else's, not in its shard either", () =>
    onStage(async (stage) => {
      const { database, publisher, ear } = stage;
      const [slow, quick] = [await connected(database.url, "slow"), await connected(database.url, "quick")];
      const same = await neighbour(quick, "slow", "slot");
      const others = [await neighbour(quick, "slow", "shard"), await neighbour(quick, "slow", "none")];
      await slow.query("begin");
      await slow.query(insert, ["slow"]);
      await polls(stage, 3);
      await quick.query(insert, [same]);
      for (const other of others) await quick.query(insert, [other]);
      await ear.until(() => publisher.published.length === 2);
      await polls(stage, 10);
      expect(publishedAggregates(stage).sort()).toEqual([...others].sort());
      await slow.query("commit");
      await ear.until(() => publisher.published.length === 4);
      expect(publishedAggregates(stage).slice(2)).toEqual(["slow", same]);
      expect(ear.heard.filter(({ type }) => type === "late-events")).toEqual([]);
      await Promise.all([slow.end(), quick.end()]);
    }, narrow));

  it("reads the time after the announcement: who is stopped in between comes after those who were not", () =>
    onStage(async (stage) => {
      const times = await stoppedBeforeAnnouncing(stage);
      expect(times).toEqual([...times].sort());
      expect(stage.ear.heard.filter(({ type }) => type === "late-events")).toEqual([]);
    }, narrow));

  it("would publish out of order if the time were read before, which its twin shows", () =>
    onStage(async (stage) => {
      const client = await connected(stage.database.url, "saboteur");
      await client.query(`
        create or replace function outrider_announce_slot() returns trigger language plpgsql as $$
        begin
          perform pg_advisory_xact_lock_shared(1333097588, hashtext(new.aggregate_id) & 4095);
          return new;
        end $$`);
      await client.end();
      const times = await stoppedBeforeAnnouncing(stage);
      expect(times).not.toEqual([...times].sort());
    }, narrow));

  it("takes at most 65 locks, however many events a transaction writes, and then holds back everything", () =>
    onStage(async (stage) => {
      const { database } = stage;
      const client = await connected(database.url, "bulk");
      await client.query("begin");
      await client.query(
        "insert into undispatched_events (aggregate_id, event_payload) select 'bulk-' || n, '{}' from generate_series(1, 20000) as n",
      );
      const { rows } = await client.query<{ locks: number }>(
        "select count(*)::int as locks from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
      );
      expect(rows[0]?.locks).toBe(65);
      expect(await slotsHeld(stage)).toEqual([null]);
      await client.query("rollback");
      await client.end();
    }, narrow));

  it("announces all the same, and takes as many locks, whatever an application makes of its setting", () =>
    onStage(async (stage) => {
      const client = await connected(stage.database.url, "meddler");
      for (const value of ["10000,", "x".repeat(1_000), ""]) {
        await client.query("begin");
        await client.query("select set_config('outrider.announced_slots', $1, true)", [value]);
        await client.query(insert, ["a"]);
        await client.query("reset all");
        await client.query(insert, ["a"]);
        const isAll = value.length > 64 * 6;
        expect(await slotsHeld(stage), value).toEqual([isAll ? null : [expect.any(Number)]]);
        await client.query("rollback");
      }
      await client.end();
    }, narrow));

  it("lets a slot go with the savepoint that is rolled back, and announces it again after that", () =>
    onStage(async (stage) => {
      const client = await connected(stage.database.url, "savepoints");
      await client.query("begin");
      await client.query(insert, ["kept"]);
      await client.query("savepoint here");
      const other = await neighbour(client, "kept", "none");
      await client.query(insert, [other]);
      expect((await slotsHeld(stage))[0]).toHaveLength(2);
      await client.query("rollback to here");
      expect((await slotsHeld(stage))[0]).toHaveLength(1);
      await client.query(insert, [other]);
      expect((await slotsHeld(stage))[0]).toHaveLength(2);
      await client.query("rollback");
      await client.end();
    }, narrow));

  it("is wide again while the trigger is off or fires for some sessions only, and after the migration is reverted", () =>
    onStage(async (stage) => {
      const [owner, writer] = [
        await connected(stage.database.url, "owner"),
        await connected(stage.database.url, "writer"),
      ];
      const heldAfter = async (change: () => Promise<unknown>) => {
        await change();
        await writer.query("begin");
        await writer.query(insert, ["a"]);
        const held = await slotsHeld(stage);
        await writer.query("rollback");
        return held;
      };
      const alter = (how: string) => owner.query(`alter table undispatched_events ${how} trigger ${trigger}`);
      expect(await heldAfter(async () => undefined)).toEqual([[expect.any(Number)]]);
      expect(await heldAfter(() => alter("disable"))).toEqual([null]);
      expect(await heldAfter(() => alter("enable"))).toEqual([null]);
      expect(await heldAfter(() => alter("enable always"))).toEqual([[expect.any(Number)]]);
      const down = { schema: "public", direction: "down", only: "narrow-fence" } as const;
      expect(await heldAfter(() => migrate(owner, down))).toEqual([null]);
      expect(await heldAfter(() => migrate(owner, { schema: "public", narrowFence: true }))).toEqual([
        [expect.any(Number)],
      ]);
      await Promise.all([owner.end(), writer.end()]);
    }, narrow));

  it("is announced by replicating sessions, by COPY and by whoever writes through a view as well", () =>
    onStage(async (stage) => {
      const client = await connected(stage.database.url, "ways");
      await client.query(
        "create view events_door as select aggregate_id, event_payload from undispatched_events",
      );
      const ways = [
        "set local session_replication_role = replica; insert into undispatched_events (aggregate_id, event_payload) values ('a', '{}')",
        `copy undispatched_events (aggregate_id, event_payload) from program 'echo "a;{}"' with (delimiter ';')`,
        "insert into events_door values ('a', '{}')",
        "select outrider_enqueue('a', '{}')",
        "with w as (insert into undispatched_events (aggregate_id, event_payload) values ('a', '{}') returning 1) select * from w",
      ];
      for (const way of ways) {
        await client.query("begin");
        await client.query(way);
        expect(await slotsHeld(stage), way).toEqual([[expect.any(Number)]]);
        await client.query("rollback");
      }
      await client.end();
    }, narrow));

  it("leaves a time alone that the application gave", () =>
    onStage(async (stage) => {
      const client = await connected(stage.database.url, "application");
      await client.query("begin");
      const { rows } = await client.query<{ kept: boolean; later: boolean }>(
        `with w as (insert into undispatched_events (aggregate_id, created_at, event_payload)
           values ('a', '2020-01-02 03:04:05.678901+00', '{}'), ('a', now() + interval '1 hour', '{}')
           returning created_at)
         select bool_or(created_at = '2020-01-02 03:04:05.678901+00') as kept,
                bool_or(created_at = now() + interval '1 hour') as later from w`,
      );
      expect(rows).toEqual([{ kept: true, later: true }]);
      await client.query("rollback");
      await client.end();
    }, narrow));

  it("holds of a prepared transaction only what it has announced", ({ skip }) =>
    onStage(async (stage) => {
      const { database, publisher, ear } = stage;
      const client = await twoPhaseClient(database.url, skip);
      const [same, other] = [
        await neighbour(client, "prepared", "slot"),
        await neighbour(client, "prepared", "shard"),
      ];
      await client.query("begin");
      await client.query(insert, ["prepared"]);
      await client.query("prepare transaction 'outrider-narrow'");
      await client.query(insert, [same]);
      await client.query(insert, [other]);
      await ear.until(() => publisher.published.length === 1);
      await polls(stage, 10);
      expect(publishedAggregates(stage)).toEqual([other]);
      await client.query("commit prepared 'outrider-narrow'");
      await ear.until(() => publisher.published.length === 3);
      expect(publishedAggregates(stage)).toEqual([other, "prepared", same]);
      await client.end();
    }, narrow));
});
