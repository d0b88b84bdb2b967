/** What every lease table must do, PostgreSQL's or the model of it. */
import { describe, expect, it } from "vitest";
import { shardCount } from "../../src/event/shard.ts";
import type { Leases } from "../../src/lease/lease.ts";

export interface LeasesUnderTest {
  of(member: string): Leases;
  /** Lets every lease and every member expire. */
  expire(): Promise<void>;
  close(): Promise<void>;
}

export function describeLeases(name: string, open: () => Promise<LeasesUnderTest>): void {
  const withTwo = async (work: (a: Leases, b: Leases, expire: () => Promise<void>) => Promise<void>) => {
    const given = await open();
    const [a, b] = [given.of("a"), given.of("b")];
    try {
      await work(a, b, () => given.expire());
    } finally {
      await Promise.all([a.close(), b.close()]);
      await given.close();
    }
  };

  describe(`leases contract: ${name}`, () => {
    it("gives a shard to one member only, each time with a larger term", () =>
      withTwo(async (a, b) => {
        const ofA = await a.acquire(40);
        const ofB = await b.acquire(40);
        expect(ofA).toHaveLength(40);
        expect(ofB).toHaveLength(shardCount - 40);
        expect(new Set([...ofA, ...ofB].map(({ shard }) => shard)).size).toBe(shardCount);
        await a.handBack(ofA);
        const again = await b.acquire(1);
        const before = ofA.find(({ shard }) => shard === again[0]?.shard);
        expect(Number(again[0]?.term)).toBeGreaterThan(Number(before?.term));
      }));

    it("gives units whole or not at all", () =>
      withTwo(async (a, b) => {
        const [one] = await a.acquire(1);
        const units = await b.acquire(16, 8);
        expect(units.map(({ shard }) => shard)).toEqual(Array.from({ length: 16 }, (_, n) => 8 + n));
        const [ofA, ofB] = await Promise.all([a.acquire(24, 8), b.acquire(24, 8)]);
        const held = [...ofA, ...ofB].map(({ shard }) => shard);
        expect(new Set(held).size).toBe(held.length);
        for (const shards of [ofA, ofB]) expect(shards.length % 8).toBe(0);
        await a.handBack(one === undefined ? [] : [one]);
        expect((await a.acquire(8, 8)).map(({ shard }) => shard)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      }));

    it("says when the leases of others expire; not its own, and none that have expired", () =>
      withTwo(async (a, b, expire) => {
        await a.acquire(3);
        expect((await a.renew([])).othersExpireInMs).toBeUndefined();
        expect((await b.renew([])).othersExpireInMs).toBeGreaterThan(0);
        await expire();
        expect((await b.renew([])).othersExpireInMs).toBeUndefined();
      }));

    it("renews what is still ours, expired or not, and nothing that was taken", () =>
      withTwo(async (a, b, expire) => {
        const ofA = await a.acquire(3);
        expect((await a.renew(ofA)).renewed).toHaveLength(3);
        await expire();
        const ofB = await b.acquire(1);
        expect(ofB.map(({ shard }) => shard)).toEqual([ofA[0]?.shard]);
        expect((await a.renew(ofA)).renewed.map(({ shard }) => shard).sort()).toEqual(
          ofA.slice(1).map(({ shard }) => shard),
        );
      }));

    it("does not let an old term touch the new one", () =>
      withTwo(async (a, b, expire) => {
        const old = await a.acquire(1);
        await expire();
        const taken = await b.acquire(1);
        await a.handBack(old);
        expect((await b.renew(taken)).renewed).toEqual(taken);
      }));

    it("counts the members that are alive", () =>
      withTwo(async (a, b, expire) => {
        expect((await a.renew([])).membersCount).toBe(1);
        expect((await b.renew([])).membersCount).toBe(2);
        await expire();
        expect((await a.renew([])).membersCount).toBe(1);
        expect((await b.renew([])).membersCount).toBe(2);
        await b.leave([]);
        expect((await a.renew([])).membersCount).toBe(1);
      }));

    it("ranks the members that are alive, each of them differently", () =>
      withTwo(async (a, b, expire) => {
        expect((await a.renew([])).rank).toBe(0);
        await b.renew([]);
        expect([(await a.renew([])).rank, (await b.renew([])).rank].sort()).toEqual([0, 1]);
        await expire();
        expect((await b.renew([])).rank).toBe(0);
      }));

    it("frees everything at once when a member leaves", () =>
      withTwo(async (a, b) => {
        const ofA = await a.acquire(shardCount);
        expect(await b.acquire(shardCount)).toEqual([]);
        await a.leave(ofA);
        expect(await b.acquire(shardCount)).toHaveLength(shardCount);
      }));

    it("lets two members grab at the same moment without giving a shard to both", () =>
      withTwo(async (a, b) => {
        const [ofA, ofB] = await Promise.all([a.acquire(32), b.acquire(32)]);
        const shards = [...ofA, ...ofB].map(({ shard }) => shard);
        expect(new Set(shards).size).toBe(shards.length);
      }));
  });
}
