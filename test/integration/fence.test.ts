/**
 * The fence against concurrent commits, on a real PostgreSQL: the same interleaved writers, once
 * against the relay as it is and once against its broken twin that sees no open writer.
 */
import { describe, expect, it } from "vitest";
import {
  connected,
  insert,
  onStage,
  polls,
  race,
  twoPhaseClient,
  withLooks,
} from "../support/fence-stage.ts";

/** The broken twin: it claims up to the clock, as if nobody were writing. */
const withoutFence = withLooks((look) => ({ ...look, writers: [] }));

/** A server on which nothing can be prepared, as most are: what a look reads of starts counts at once. */
const onePhase = withLooks((look) => ({ ...look, isTwoPhase: false }));

/** The broken twin: every writer seems to have begun this moment. */
const withYoungWriters = withLooks((look) => ({
  ...look,
  isTwoPhase: false,
  writers: look.writers.map((writer) => ({ ...writer, startedAt: look.clock })),
}));

describe("the fence", () => {
  for (const narrowFence of [false, true]) {
    const name = `keeps every aggregate in order under concurrent commits${narrowFence ? ", narrowed" : ""}`;
    it(`${name}; its twin without a fence does not`, async () => {
      const seed = Math.floor(Math.random() * 1e6);
      const fenced = await race(seed, { narrowFence });
      const bare = await race(seed, { narrowFence, twist: withoutFence });
      console.log(
        `seed ${seed}: ${fenced.events} events, ${fenced.inversions} inversions; without the fence ${bare.inversions}`,
      );
      expect(fenced).toMatchObject({ missing: 0, phantom: 0, inversions: 0, duplicates: 0 });
      expect(bare.inversions).toBeGreaterThan(100);
    });
  }

  it("keeps order by the starts of transactions alone; its twin that believes them younger does not", async () => {
    const seed = Math.floor(Math.random() * 1e6);
    const fenced = await race(seed, { twist: onePhase });
    const young = await race(seed, { twist: withYoungWriters });
    console.log(
      `seed ${seed}: ${fenced.inversions} inversions; with writers believed younger ${young.inversions}`,
    );
    expect(fenced).toMatchObject({ missing: 0, phantom: 0, inversions: 0, duplicates: 0 });
    expect(young.inversions).toBeGreaterThan(100);
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
    onStage(async (stage) => {
      const { database, publisher, ear } = stage;
      const client = await twoPhaseClient(database.url, skip);
      await client.query("begin");
      await client.query(insert, ["prepared"]);
      await client.query("prepare transaction 'outrider-test'");
      await client.query(insert, ["after"]);
      await polls(stage, 20);
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
