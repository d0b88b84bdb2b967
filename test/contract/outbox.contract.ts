/**
 * What every outbox must do, whether it is PostgreSQL or the model of it. `open` gives a fresh one
 * with a way to write into it.
 */
import { describe, expect, it } from "vitest";
import { acknowledge } from "../../src/event/acknowledgement.ts";
import type { OutboxEvent } from "../../src/event/event.ts";
import { beginning, comparePositions, type Micros, microsOfIso } from "../../src/event/position.ts";
import { allShards, type ShardCursor } from "../../src/event/shard.ts";
import type { ClaimLimits, ClaimRange, ClaimRequest, Outbox } from "../../src/outbox/outbox.ts";
import type { ModelTransaction, NewRow } from "../support/memory-outbox.ts";

export interface OutboxUnderTest {
  readonly outbox: Outbox;
  /** Whether writers announce their slots. */
  readonly announces: boolean;
  begin(): Promise<ModelTransaction>;
  close(): Promise<void>;
}

export const roomy: ClaimLimits = {
  eventsMax: 1_000,
  eventsPerShardMax: 1_000,
  bytesMax: 10_000_000,
  payloadBytesMax: 1_000_000,
};

export const fromBeginning: readonly ShardCursor[] = allShards.map((shard) => ({ shard, ...beginning }));

export const below = (fence: Micros, cursors: readonly ShardCursor[] = fromBeginning): ClaimRange[] =>
  cursors.map((cursor) => ({ ...cursor, fence }));

export function describeOutbox(name: string, open: () => Promise<OutboxUnderTest>): void {
  async function withOutbox(
    work: (given: OutboxUnderTest & { write(...rows: NewRow[]): Promise<string[]> }) => Promise<void>,
  ) {
    const given = await open();
    const write = async (...rows: NewRow[]) => {
      const transaction = await given.begin();
      const ids: string[] = [];
      for (const row of rows) ids.push(await transaction.insert(row));
      await transaction.commit();
      return ids;
    };
    try {
      await work({ ...given, write });
    } finally {
      await given.close();
    }
  }
  const claimAll = async (
    outbox: Outbox,
    { cursors, ...request }: Partial<ClaimRequest> & { readonly cursors?: readonly ShardCursor[] } = {},
  ) => {
    const { clock } = await outbox.look();
    return outbox.claim({ ranges: below(clock, cursors), limits: roomy, blocked: [], ...request });
  };
  const lookAndClaim = async (outbox: Outbox, request: ClaimRequest, since: string | null = null) => {
    const both = await outbox.lookAndClaim(request, since);
    return both === "unchanged" ? null : both;
  };

  describe(`outbox contract: ${name}`, () => {
    it("claims what was committed, each aggregate in the order of its writes", () =>
      withOutbox(async ({ outbox, write }) => {
        const written: string[] = [];
        for (let n = 0; n < 20; n += 1)
          written.push(...(await write({ aggregateId: `a-${n % 3}` }, { aggregateId: `a-${n % 3}` })));
        const { events, isCut } = await claimAll(outbox);
        expect(isCut).toBe(false);
        expect(events).toHaveLength(40);
        for (const aggregateId of ["a-0", "a-1", "a-2"]) {
          const lane = events.filter((event) => event.aggregateId === aggregateId);
          expect(lane.map(({ eventId }) => eventId)).toEqual(
            written.filter((id) => lane.some(({ eventId }) => eventId === id)),
          );
          expect([...lane].sort(comparePositions)).toEqual(lane);
        }
      }));

    it("shows an open transaction as a writer, none of its rows, and all of them after the commit", () =>
      withOutbox(async ({ outbox, begin }) => {
        const transaction = await begin();
        const id = await transaction.insert({});
        const look = await outbox.look();
        expect(look.writers).toHaveLength(1);
        expect((await claimAll(outbox)).events).toEqual([]);
        const pid = look.writers[0]?.pid ?? -1;
        expect((await outbox.describeWriters([pid])).map((described) => described.pid)).toEqual([pid]);
        const { startedAt = null } = look.writers[0] ?? {};
        expect(startedAt).not.toBeNull();
        await transaction.commit();
        expect((await outbox.look()).writers).toEqual([]);
        const { events } = await claimAll(outbox);
        expect(events.map(({ eventId }) => eventId)).toEqual([id]);
        const createdAt = microsOfIso(events[0]?.createdAt ?? "");
        expect(createdAt).toBeLessThan((await outbox.look()).clock);
        expect(startedAt).toBeLessThanOrEqual(createdAt);
      }));

    it("says which slots an open writer has announced, where writers announce", () =>
      withOutbox(async ({ outbox, announces, begin }) => {
        const transaction = await begin();
        for (const aggregateId of ["a", "b", "c", "a"]) await transaction.insert({ aggregateId });
        const [writer] = (await outbox.look()).writers;
        await transaction.commit();
        const touched = new Set((await claimAll(outbox)).events.map(({ slot }) => slot));
        const announced = writer?.slots && [...writer.slots].sort((a, b) => a - b);
        expect(announced).toEqual(announces ? [...touched].sort((a, b) => a - b) : null);
      }));

    it("claims one slot of a shard alone where it is asked to, and the shard as a whole in another range", () =>
      withOutbox(async ({ outbox, write }) => {
        const each = Array.from({ length: 100 }, (_, n) => ({ aggregateId: `a-${n}` }));
        await write(...each, ...each);
        const { events } = await claimAll(outbox);
        const slotsOf = (shard: number) =>
          new Set(events.flatMap((event) => (event.shard === shard ? event.slot : [])));
        const shard = allShards.find((one) => slotsOf(one).size > 1);
        const [slot] = shard === undefined ? [] : slotsOf(shard);
        if (shard === undefined || slot === undefined) throw new Error("a shard with two slots expected");
        const { clock } = await outbox.look();
        const whole = { shard, ...beginning, fence: clock };
        const ranges = [{ ...whole, slot }, whole];
        const ofShard = events.filter((event) => event.shard === shard);
        const ofSlot = ofShard.filter((event) => event.slot === slot);
        expect((await claimAll(outbox, { ranges })).events).toEqual([...ofSlot, ...ofShard]);
        const blocked = ["nobody"];
        expect((await claimAll(outbox, { ranges, blocked })).events).toEqual([...ofSlot, ...ofShard]);
      }));

    it("claims up to the fence of each shard", () =>
      withOutbox(async ({ outbox, write }) => {
        await write({ aggregateId: "a" }, { aggregateId: "b" });
        await write({ aggregateId: "a" }, { aggregateId: "b" });
        const { events } = await claimAll(outbox);
        const held = events.filter(({ aggregateId }) => aggregateId === "a")[1];
        if (held === undefined) throw new Error("four events expected");
        const { clock } = await outbox.look();
        const ranges = below(clock).map((range) =>
          range.shard === held.shard ? { ...range, fence: microsOfIso(held.createdAt) } : range,
        );
        const claimed = (await claimAll(outbox, { ranges })).events;
        expect(claimed).toEqual(
          events.filter(({ shard, createdAt }) => shard !== held.shard || createdAt < held.createdAt),
        );
        expect(claimed.length).toBeLessThan(events.length);
      }));

    it("shows nothing of a transaction that was rolled back", () =>
      withOutbox(async ({ outbox, begin }) => {
        const transaction = await begin();
        await transaction.insert({});
        await transaction.rollback();
        expect((await claimAll(outbox)).events).toEqual([]);
        expect((await outbox.look()).writers).toEqual([]);
      }));

    it("changes its mark with every write, the very first included, also before the commit", () =>
      withOutbox(async ({ outbox, begin, write }) => {
        const untouched = await outbox.peek();
        await write({});
        expect(await outbox.peek()).not.toBe(untouched);
        const quiet = await outbox.peek();
        expect(await outbox.peek()).toBe(quiet);
        const transaction = await begin();
        await transaction.insert({});
        expect(await outbox.peek()).not.toBe(quiet);
        expect((await outbox.look()).mark).toBe(await outbox.peek());
        await transaction.rollback();
      }));

    it("waits for another mark, if it can wait at all, and not for ever", () =>
      withOutbox(async ({ outbox, begin, write }) => {
        await write({});
        const quiet = await outbox.peek();
        if (quiet === null) throw new Error("this mark can be had");
        const waited = await outbox.awaitChange(quiet, 5, 20);
        if (waited === null) return;
        expect(waited).toBe(quiet);
        const waiting = outbox.awaitChange(quiet, 5, 5_000);
        const transaction = await begin();
        await transaction.insert({});
        const changed = await waiting;
        expect(changed).not.toBe(quiet);
        expect(changed).toBe(await outbox.peek());
        expect(await outbox.awaitChange(quiet, 5, 5_000)).toBe(changed);
        await transaction.rollback();
      }));

    it("looks and claims in one go, the claim as if it came after the look, once it has been asked one by one", () =>
      withOutbox(async ({ outbox, begin, write }) => {
        await claimAll(outbox);
        await write({ aggregateId: "a" }, { aggregateId: "b" });
        const transaction = await begin();
        await transaction.insert({ aggregateId: "a" });
        const request = { ranges: below(Number.POSITIVE_INFINITY), limits: roomy, blocked: [] };
        const both = await lookAndClaim(outbox, request);
        const [look, claim] = [await outbox.look(), await outbox.claim(request)];
        expect(both?.claim).toEqual(claim);
        expect(both?.look.writers).toEqual(look.writers);
        expect(both?.look.mark).toBe(await outbox.peek());
        expect(both?.claim.events).toHaveLength(2);
        for (const { createdAt } of claim.events)
          expect(microsOfIso(createdAt)).toBeLessThan(both?.look.clock ?? 0);
        expect(await outbox.lookAndClaim({ ...request, blocked: ["a"] }, null)).toBeNull();
        await transaction.commit();
        expect((await lookAndClaim(outbox, request))?.look.writers).toEqual([]);
        expect((await lookAndClaim(outbox, request))?.claim.events).toHaveLength(3);
      }));

    it("neither looks nor claims while the mark is the one that it was given, and both once somebody has written", () =>
      withOutbox(async ({ outbox, begin, write }) => {
        await claimAll(outbox);
        await write({});
        const request = { ranges: below(Number.POSITIVE_INFINITY), limits: roomy, blocked: [] };
        const mark = (await lookAndClaim(outbox, request))?.look.mark ?? null;
        expect(mark).not.toBeNull();
        expect(await outbox.lookAndClaim(request, mark)).toBe("unchanged");
        const transaction = await begin();
        await transaction.insert({});
        const both = await lookAndClaim(outbox, request, mark);
        expect(both?.look.writers).toHaveLength(1);
        expect(both?.look.mark).not.toBe(mark);
        expect(both?.claim.events).toHaveLength(1);
        await transaction.rollback();
      }));

    it("claims only below the fence and above the cursor", () =>
      withOutbox(async ({ outbox, write }) => {
        await write({}, {}, {}, {});
        const { events } = await claimAll(outbox);
        const [first, second, third] = events;
        if (first === undefined || second === undefined || third === undefined)
          throw new Error("three events expected");
        const cursors = fromBeginning.map(({ shard }) => ({
          shard,
          createdAt: first.createdAt,
          seq: first.seq,
        }));
        const ranges = below(microsOfIso(third.createdAt), cursors);
        const middle = await claimAll(outbox, { ranges });
        expect(middle.events.map(({ seq }) => seq)).toEqual([second.seq]);
      }));

    it("breaks ties of created_at by seq, in the cursor too", () =>
      withOutbox(async ({ outbox, write }) => {
        const createdAt = "2020-01-01T00:00:00.000001Z";
        const ids = await write({ createdAt }, { createdAt }, { createdAt });
        const { events } = await claimAll(outbox);
        expect(events.map(({ eventId }) => eventId)).toEqual(ids);
        const cursors = fromBeginning.map(({ shard }) => ({ shard, createdAt, seq: events[0]?.seq ?? "0" }));
        expect((await claimAll(outbox, { cursors })).events.map(({ eventId }) => eventId)).toEqual(
          ids.slice(1),
        );
      }));

    it("visits the shards in the order of the request and cuts at the end", () =>
      withOutbox(async ({ outbox, write }) => {
        await write(...Array.from({ length: 60 }, (_, n) => ({ aggregateId: `a-${n % 30}` })));
        const cursors = [...fromBeginning].reverse();
        const { events, isCut } = await claimAll(outbox, { cursors, limits: { ...roomy, eventsMax: 25 } });
        expect(isCut).toBe(true);
        expect(events).toHaveLength(25);
        const shards = events.map(({ shard }) => shard);
        expect(shards).toEqual([...shards].sort((a, b) => b - a));
        const all = (await claimAll(outbox, { cursors })).events;
        expect(events).toEqual(all.slice(0, 25));
      }));

    it("takes the same from shards that stand in step as from shards that do not quite", () =>
      withOutbox(async ({ outbox, write }) => {
        await write(...Array.from({ length: 60 }, (_, n) => ({ aggregateId: `a-${n % 30}` })));
        const all = (await claimAll(outbox)).events;
        const { createdAt, seq } = all[30] ?? beginning;
        const inStep = allShards.map((shard) => ({ shard, createdAt, seq }));
        // A little lower in a shard that has no row there: the same, said differently.
        const astray = inStep.map((cursor) =>
          cursor.shard === 63 ? { ...cursor, seq: String(BigInt(seq) - 1n) } : cursor,
        );
        const expected = all.filter((event) => comparePositions(event, { createdAt, seq }) > 0);
        expect(all[30]?.shard).not.toBe(63);
        expect(expected.length).toBeGreaterThan(5);
        for (const eventsMax of [1_000, 4]) {
          for (const cursors of [inStep, astray]) {
            const limits = { ...roomy, eventsMax, eventsPerShardMax: eventsMax };
            const { events, isCut } = await claimAll(outbox, { cursors, limits });
            expect(events).toEqual(expected.slice(0, eventsMax));
            expect(isCut).toBe(eventsMax === 4);
          }
        }
        const limits = { ...roomy, bytesMax: 1 };
        expect((await claimAll(outbox, { cursors: inStep, limits })).events).toEqual(expected.slice(0, 1));
      }));

    it("takes no more than its share from one shard", () =>
      withOutbox(async ({ outbox, write }) => {
        await write(...Array.from({ length: 30 }, (_, n) => ({ aggregateId: n < 20 ? "hot" : `cold-${n}` })));
        const all = (await claimAll(outbox)).events;
        const hotShard = all.find(({ aggregateId }) => aggregateId === "hot")?.shard;
        const { events } = await claimAll(outbox, { limits: { ...roomy, eventsPerShardMax: 5 } });
        expect(events.filter(({ shard }) => shard === hotShard)).toHaveLength(5);
        expect(events.filter(({ shard }) => shard !== hotShard)).toEqual(
          all.filter(({ shard }) => shard !== hotShard),
        );
      }));

    it("cuts by bytes, but always takes one event", () =>
      withOutbox(async ({ outbox, write }) => {
        await write(...Array.from({ length: 10 }, () => ({ payload: JSON.stringify("x".repeat(1_000)) })));
        const few = await claimAll(outbox, { limits: { ...roomy, bytesMax: 2_500 } });
        expect(few.isCut).toBe(true);
        expect(few.events).toHaveLength(3);
        const one = await claimAll(outbox, { limits: { ...roomy, bytesMax: 1 } });
        expect(one.events).toHaveLength(1);
      }));

    it("does not read a payload over the limit, but says how large it is", () =>
      withOutbox(async ({ outbox, write }) => {
        await write({ payload: JSON.stringify("x".repeat(50_000)) }, {});
        const { events } = await claimAll(outbox, { limits: { ...roomy, payloadBytesMax: 10_000 } });
        expect(events).toHaveLength(2);
        expect(events[0]?.payload).toBeNull();
        expect(events[0]?.payloadBytes).toBeGreaterThan(49_999);
        expect(events[1]?.payload).not.toBeNull();
      }));

    it("leaves blocked aggregates out whole, and finds the head of one when asked", () =>
      withOutbox(async ({ outbox, write }) => {
        const [first] = await write({ aggregateId: "bad" }, { aggregateId: "good" }, { aggregateId: "bad" });
        const { events } = await claimAll(outbox, { blocked: ["bad", "other"] });
        expect(events.map(({ aggregateId }) => aggregateId)).toEqual(["good"]);
        const all = (await claimAll(outbox)).events.filter(({ aggregateId }) => aggregateId === "bad");
        const [head, next] = all;
        if (head === undefined || next === undefined) throw new Error("two events expected");
        expect((await outbox.claimHead(head.shard, "bad", head, roomy))?.eventId).toBe(first);
        expect((await outbox.claimHead(head.shard, "bad", next, roomy))?.eventId).toBe(next.eventId);
        expect(await outbox.claimHead(head.shard, "nobody", head, roomy)).toBeUndefined();
      }));

    it("searches a range for the first row that is not blocked, no further than it is told", () =>
      withOutbox(async ({ outbox, write }) => {
        await write(...Array.from({ length: 6 }, (_, n) => ({ aggregateId: "bad", payload: `${n}` })));
        const bad = (await claimAll(outbox)).events;
        const [first, second] = bad as [OutboxEvent, OutboxEvent];
        const last = bad.at(-1) as OutboxEvent;
        const { shard } = first;
        const search = (until: OutboxEvent, rowsMax: number, blocked: readonly string[]) =>
          outbox.search({ ranges: [{ shard, from: beginning, until }], rowsMax, blocked });
        const stop = ({ createdAt, seq }: OutboxEvent, isFound: boolean) => [
          { shard, createdAt, seq, isFound },
        ];
        expect(await search(last, 100, ["bad"])).toEqual([]);
        expect(await search(last, 6, ["bad"])).toEqual(stop(last, false));
        expect(await search(last, 2, ["bad"])).toEqual(stop(second, false));
        expect(await search(last, 100, ["other"])).toEqual(stop(first, true));
        const from = { shard, from: second, until: last };
        const behind = await outbox.search({ ranges: [from], rowsMax: 100, blocked: [] });
        expect(behind).toEqual(stop(bad[2] as OutboxEvent, true));
      }));

    it("removes exactly what it is shown, and may be asked twice", () =>
      withOutbox(async ({ outbox, write }) => {
        await write({}, {}, {});
        const { events } = await claimAll(outbox);
        const acks = events.slice(0, 2).map(acknowledge);
        expect(await outbox.remove(acks)).toBe(2);
        expect(await outbox.remove(acks)).toBe(0);
        expect((await claimAll(outbox)).events.map(({ eventId }) => eventId)).toEqual([events[2]?.eventId]);
      }));

    it("finds a row by its key when the row has moved", () =>
      withOutbox(async ({ outbox, write }) => {
        await write({}, {});
        const { events } = await claimAll(outbox);
        expect(
          await outbox.remove(events.map((event) => acknowledge({ ...event, rowHint: "(4000,1)" }))),
        ).toBe(2);
        expect((await claimAll(outbox)).events).toEqual([]);
      }));

    it("counts the backlog up to a bound", () =>
      withOutbox(async ({ outbox, write }) => {
        expect(await outbox.backlog(10)).toEqual({ events: 0, oldestAgeMs: null });
        await write({}, {}, {});
        expect((await outbox.backlog(10)).events).toBe(3);
        expect((await outbox.backlog(2)).events).toBe(2);
        expect((await outbox.backlog(10)).oldestAgeMs).toBeGreaterThanOrEqual(0);
      }));
  });
}
