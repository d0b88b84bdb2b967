import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fairShare, isTrusted, roundPauseMs, surplusOf, trustedUntilMs } from "../../../src/lease/lease.ts";
import { type LeaseChange, LeaseKeeper } from "../../../src/lease/lease-keeper.ts";
import { manualClock } from "../../support/clock.ts";
import { LeaseTable } from "../../support/memory-leases.ts";

const timing = { leaseTtlMs: 10_000, leaseRenewMs: 3_000 };

function fleet() {
  const clock = manualClock();
  const table = new LeaseTable(() => clock.monotonicMs(), timing.leaseTtlMs);
  const make = (name: string) => {
    const changes: LeaseChange[] = [];
    const keeper = new LeaseKeeper(
      table.of(name),
      timing,
      clock,
      (change) => changes.push(change),
      () => undefined,
    );
    return { keeper, changes, held: () => keeper.claimable().size };
  };
  /** A round for each, and nothing is ever in flight: surplus goes back at once. */
  const rounds = async (keepers: readonly { keeper: LeaseKeeper }[], count = 3) => {
    for (let n = 0; n < count; n += 1) {
      await clock.advance(timing.leaseRenewMs);
      for (const { keeper } of keepers) {
        await keeper.round();
        await keeper.handBackDrained(keeper.claimable());
      }
    }
  };
  return { clock, table, make, rounds };
}

describe("lease", () => {
  it("shares all shards among any number of relays", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.constantFrom(1, 8, 16, 32, 64),
        (membersCount, unitShards) => {
          const shares = Array.from({ length: membersCount }, (_, rank) =>
            fairShare(64, { membersCount, rank }, unitShards),
          );
          expect(shares.reduce((sum, share) => sum + share, 0)).toBe(64);
          expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(unitShards);
        },
      ),
    );
    const three = [0, 1, 2].map((rank) => fairShare(64, { membersCount: 3, rank }, 16));
    expect(three).toEqual([32, 16, 16]);
  });

  it("gives up the same shards every time", () => {
    expect(surplusOf([5, 1, 9], 2)).toEqual([9]);
    expect(surplusOf([5, 1], 2)).toEqual([]);
  });

  it("is looked after at least as often as it says, and never in a hot loop", () => {
    expect(roundPauseMs(timing, undefined)).toBe(3_000);
    expect(roundPauseMs(timing, 8_000)).toBe(3_000);
    expect(roundPauseMs(timing, 1_200)).toBe(1_200);
    expect(roundPauseMs(timing, 1)).toBe(300);
  });

  it("is trusted for a shorter time than the database keeps it, counted from the sending", () => {
    const lease = { shard: 0, term: "1", trustedUntilMs: trustedUntilMs(1_000, 10_000) };
    expect(lease.trustedUntilMs).toBe(10_000);
    expect(isTrusted(lease, 9_999)).toBe(true);
    expect(isTrusted(lease, 10_000)).toBe(false);
  });
});

describe("lease keeper", () => {
  it("takes everything when it is alone, and shares fairly as others come and go", async () => {
    const { make, rounds, table } = fleet();
    const [a, b, c] = [make("a"), make("b"), make("c")];
    await a.keeper.round();
    expect(a.held()).toBe(64);
    await rounds([a, b, c]);
    expect([a.held(), b.held(), c.held()].sort()).toEqual([21, 21, 22]);
    await b.keeper.stop();
    await rounds([a, c]);
    expect([a.held(), c.held()]).toEqual([32, 32]);
    expect(table.members.size).toBe(2);
  });

  it("takes over from one that died within its TTL and a round", async () => {
    const { make, rounds, clock } = fleet();
    const [a, b] = [make("a"), make("b")];
    await rounds([a, b]);
    expect([a.held(), b.held()]).toEqual([32, 32]);
    const diedAtMs = clock.monotonicMs();
    while (a.held() < 64) await rounds([a], 1);
    expect(clock.monotonicMs() - diedAtMs).toBeLessThanOrEqual(timing.leaseTtlMs + timing.leaseRenewMs);
  });

  it("looks again at the moment when the leases of another expire, not at the round after", async () => {
    const { make, clock } = fleet();
    const [dead, next] = [make("dead"), make("next")];
    await dead.keeper.round();
    await next.keeper.start();
    // Between two rounds: the next one of its own would be at 12,000.
    await clock.advance(timing.leaseTtlMs);
    expect(next.held()).toBe(64);
    const stopping = next.keeper.stop();
    await clock.advance(timing.leaseRenewMs);
    await stopping;
  });

  it("stops trusting by itself before anyone else can take over", async () => {
    const { make, clock, table } = fleet();
    const [sleeper, other] = [make("sleeper"), make("other")];
    await sleeper.keeper.round();
    await clock.advance(8_999);
    expect(sleeper.keeper.mayPublish(0)).toBe(true);
    await other.keeper.round();
    expect(other.held()).toBe(0);
    await clock.advance(1);
    expect(sleeper.held()).toBe(0);
    expect(sleeper.keeper.mayPublish(0)).toBe(false);
    await other.keeper.round();
    expect(other.held()).toBe(0);
    await clock.advance(1_000);
    await other.keeper.round();
    expect(other.held()).toBeGreaterThan(0);
    expect(table.rows.get(0)?.holder).toBe("other");
  });

  it("learns that it lost what others took while it slept, and keeps the rest with the same terms", async () => {
    const { make, clock, table } = fleet();
    const [sleeper, other] = [make("sleeper"), make("other")];
    await sleeper.keeper.round();
    const term = table.rows.get(63)?.term;
    await clock.advance(10_001);
    await other.keeper.round();
    await sleeper.keeper.round();
    expect(sleeper.changes.at(-1)?.lost.length).toBe(64);
    expect(term).toBe(1);
    table.isAway = true;
    await clock.advance(60_000);
    table.isAway = false;
    await other.keeper.round();
    expect(other.changes.at(-1)?.lost ?? []).toEqual([]);
    expect(other.held()).toBe(64);
  });

  it("keeps surplus until it is drained, renewing it meanwhile, and claims nothing of it", async () => {
    const { make, clock } = fleet();
    const [a, b] = [make("a"), make("b")];
    await a.keeper.round();
    const inUse = a.keeper.claimable();
    await b.keeper.round();
    await clock.advance(1_000);
    await a.keeper.round();
    expect(a.held()).toBe(32);
    expect(a.keeper.mayPublish(63)).toBe(true);
    await a.keeper.handBackDrained(inUse);
    await clock.advance(20_000);
    await b.keeper.round();
    await a.keeper.round();
    await b.keeper.round();
    expect(b.held()).toBeGreaterThan(0);
  });

  it("hands drained surplus back at once, under its own term", async () => {
    const { make, clock, table } = fleet();
    const [a, b] = [make("a"), make("b")];
    await a.keeper.round();
    await b.keeper.round();
    await clock.advance(1_000);
    await a.keeper.round();
    await a.keeper.handBackDrained(a.keeper.claimable());
    expect([...table.rows.values()].filter(({ holder }) => holder === null)).toHaveLength(32);
    await b.keeper.round();
    expect(b.held()).toBe(32);
  });

  it("leaves nothing behind when it is stopped during its first round", async () => {
    const { make, table } = fleet();
    const { keeper } = make("a");
    const started = keeper.start();
    await keeper.stop();
    await started;
    expect([...table.rows.values()].filter(({ holder }) => holder !== null)).toEqual([]);
    expect(table.members.size).toBe(0);
  });
});
