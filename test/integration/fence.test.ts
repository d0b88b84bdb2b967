/**
 * The fence against concurrent commits, on a real PostgreSQL: the same interleaved writers, once
 * against the relay as it is and once against its broken twin that sees no open writer.
 */
import pg from "pg";
import { describe, expect, it } from "vitest";
import type { Outbox } from "../../src/outbox/outbox.ts";
import type { RelayLimits } from "../../src/relay/polling-publisher.ts";
import { type MigratedDatabase, migratedDatabase, openOutbox } from "../support/migrated-database.ts";
import { judgeDeliveries, type Verdict } from "../support/order.ts";
import { RecordingPublisher } from "../support/recording-publisher.ts";
import { makeRelay, type RunningRelay } from "../support/running-relay.ts";
import { writeConcurrently } from "../support/writers.ts";

/** The broken twin: it claims up to the clock, as if nobody were writing. */
function withoutFence(outbox: Outbox): Outbox {
  return new Proxy(outbox, {
    get(target, name) {
      if (name === "look") return async () => ({ clock: (await target.look()).clock, writers: [] });
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

interface Stage extends RunningRelay {
  readonly database: MigratedDatabase;
  readonly publisher: RecordingPublisher;
}

async function onStage(
  work: (stage: Stage) => Promise<void>,
  {
    limits = {},
    twist = (outbox: Outbox) => outbox,
  }: { limits?: Partial<RelayLimits>; twist?: (outbox: Outbox) => Outbox } = {},
): Promise<void> {
  const database = await migratedDatabase();
  const publisher = new RecordingPublisher();
  const running = makeRelay(twist(openOutbox(database)), publisher, { limits });
  try {
    await running.relay.start();
    await work({ ...running, database, publisher });
  } finally {
    await running.relay.stop();
    await database.drop();
  }
}

async function connected(url: string, name: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: name });
  await client.connect();
  return client;
}

const insert = "insert into undispatched_events (aggregate_id, event_payload) values ($1, '{}')";

/** Lets the writers run to their end, sweeping all the while, and judges what was published. */
async function race(
  seed: number,
  twist?: (outbox: Outbox) => Outbox,
): Promise<Verdict & { readonly events: number }> {
  let verdict: (Verdict & { readonly events: number }) | undefined;
  await onStage(
    async ({ database, publisher, relay, ear, announcements }) => {
      let polls = 0;
      announcements.subscribe(({ type }) => {
        if (type === "polled" && polls++ % 20 === 0) relay.sweepSoon();
      });
      const load = { url: database.url, writers: 14, events: 6_000, aggregates: 20, holdMsMax: 20, seed };
      const committed = await writeConcurrently(load);
      relay.sweepSoon();
      await ear.until(() => publisher.published.length >= committed.length);
      verdict = { ...judgeDeliveries(committed, publisher.published), events: committed.length };
    },
    twist === undefined ? {} : { twist },
  );
  if (verdict === undefined) throw new Error("the race was not run");
  return verdict;
}

describe("the fence", () => {
  it("keeps every aggregate in order under concurrent commits; its twin without a fence does not", async () => {
    const seed = Math.floor(Math.random() * 1e6);
    const fenced = await race(seed);
    const bare = await race(seed, withoutFence);
    console.log(
      `seed ${seed}: ${fenced.events} events, ${fenced.inversions} inversions; without the fence ${bare.inversions}`,
    );
    expect(fenced).toMatchObject({ missing: 0, phantom: 0, inversions: 0, duplicates: 0 });
    expect(bare.inversions).toBeGreaterThan(100);
  });

  it("names a writer that stays open, and lets everything flow when it ends", () =>
    onStage(
      async ({ database, publisher, ear }) => {
        const slow = await connected(database.url, "slow import");
        const quick = await connected(database.url, "quick");
        const named = ear.next("fence-held");
        await slow.query("begin");
        await slow.query(insert, ["slow"]);
        await quick.query(insert, ["quick"]);
        const { rows } = await slow.query<{ pid: number }>("select pg_backend_pid() as pid");
        expect(await named).toMatchObject({ pid: rows[0]?.pid, application: "slow import" });
        expect(publisher.published).toEqual([]);
        await slow.query("commit");
        await ear.until(() => publisher.published.length === 2);
        expect(publisher.published.map(({ aggregateId }) => aggregateId).sort()).toEqual(["quick", "slow"]);
        await Promise.all([slow.end(), quick.end()]);
      },
      { limits: { fenceWarnMs: 50 } },
    ));

  it("passes a writer after the hold time, loudly, and publishes its events late", () =>
    onStage(
      async ({ database, publisher, relay, ear }) => {
        const slow = await connected(database.url, "slow import");
        const quick = await connected(database.url, "quick");
        await slow.query("begin");
        await slow.query(insert, ["slow"]);
        await quick.query(insert, ["quick"]);
        await ear.next("fence-passed");
        await ear.until(() => publisher.published.length === 1);
        await slow.query("commit");
        const late = ear.next("late-events");
        relay.sweepSoon();
        expect(await late).toMatchObject({ events: 1 });
        await ear.until(() => publisher.published.length === 2);
        expect(publisher.published.map(({ aggregateId }) => aggregateId)).toEqual(["quick", "slow"]);
        await Promise.all([slow.end(), quick.end()]);
      },
      { limits: { fenceHoldMs: 100 } },
    ));

  it("loses nothing when the application writes created_at in the past: the sweep finds it", () =>
    onStage(async ({ database, publisher, relay, ear }) => {
      const client = await connected(database.url, "application");
      await client.query(insert, ["a"]);
      await ear.until(() => publisher.published.length === 1);
      await client.query(
        "insert into undispatched_events (aggregate_id, created_at, event_payload) values ('a', now() - interval '1 day', '{}')",
      );
      const late = ear.next("late-events");
      relay.sweepSoon();
      expect(await late).toMatchObject({ events: 1 });
      await ear.until(() => publisher.published.length === 2);
      await client.end();
    }));

  it("waits for a prepared transaction as for any other", ({ skip }) =>
    onStage(async ({ database, publisher, ear, announcements }) => {
      const client = await connected(database.url, "two-phase");
      const { rows } = await client.query<{ max: string }>(
        "select current_setting('max_prepared_transactions') as max",
      );
      if (rows[0]?.max === "0")
        skip("this server allows no prepared transactions (max_prepared_transactions = 0)");
      await client.query("begin");
      await client.query(insert, ["prepared"]);
      await client.query("prepare transaction 'outrider-test'");
      await client.query(insert, ["after"]);
      let polls = 0;
      await new Promise<void>((resolve) => {
        announcements.subscribe(({ type }) => {
          if (type === "polled" && polls++ === 20) resolve();
        });
      });
      expect(publisher.published).toEqual([]);
      await client.query("commit prepared 'outrider-test'");
      await ear.until(() => publisher.published.length === 2);
      await client.end();
    }));

  it("is not held by a long transaction that does not write to the outbox", () =>
    onStage(async ({ database, publisher, ear }) => {
      const report = await connected(database.url, "report");
      await report.query("begin isolation level repeatable read");
      await report.query("select count(*) from undispatched_events");
      const writer = await connected(database.url, "writer");
      await writer.query(insert, ["a"]);
      await ear.until(() => publisher.published.length === 1);
      await report.query("rollback");
      await Promise.all([report.end(), writer.end()]);
    }));
});
