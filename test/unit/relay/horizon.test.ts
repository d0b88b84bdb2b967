import { describe, expect, it } from "vitest";
import { type Advance, boundless, nextHorizon } from "../../../src/relay/horizon.ts";

const backlogOf = (shards: number, ...reached: number[]): Advance => ({
  shards,
  reached,
  isCrowded: true,
  isBounded: false,
});
const backlog = (...reached: number[]) => backlogOf(64, ...reached);
const following = (...advances: Advance[]) => advances.reduce(nextHorizon, boundless);

describe("the horizon", () => {
  it("bounds nothing without a backlog, nor before it is known how far a batch goes", () => {
    expect(nextHorizon(boundless, { shards: 64, reached: [1], isCrowded: false, isBounded: false })).toBe(
      boundless,
    );
    expect(following(backlog(100, 900)).at).toBe(Number.POSITIVE_INFINITY);
    expect(following(backlog(100), backlog(Number.NEGATIVE_INFINITY)).at).toBe(Number.POSITIVE_INFINITY);
    expect(following(backlog(100), backlog()).at).toBe(Number.POSITIVE_INFINITY);
    expect(following(backlog(-6.2e16), backlog(-6.1e16), backlog(-6e16))).toBe(boundless);
  });

  it("lies sixteen steps of the slowest before it", () => {
    expect(following(backlog(100, 400), backlog(150, 900)).at).toBe(150 + 16 * 50);
  });

  it("lies as much less ahead as a batch spans more of the table, but never next to nothing", () => {
    const ahead = (shards: number) => following(backlogOf(shards, 0), backlogOf(shards, 100)).at - 100;
    expect([64, 32, 16, 1].map(ahead)).toEqual([1_600, 800, 400, 400]);
  });

  it("does not wait for the last eighth", () => {
    const others = (at: number) => Array.from({ length: 15 }, () => at);
    expect(following(backlog(0, ...others(100)), backlog(1, ...others(200))).at).toBe(200 + 16 * 100);
    expect(following(backlog(0, 0, 0, ...others(100)), backlog(1, 1, 1, ...others(200))).at).toBe(1 + 16);
  });

  it("follows a strange step by half or double at most", () => {
    const steady = [backlog(0), backlog(100), backlog(200)];
    expect(following(...steady, backlog(90_200)).front?.stepMicros).toBe(200);
    expect(following(...steady, backlog(201)).front?.stepMicros).toBe(50);
    expect(following(...steady, backlog(150)).front?.stepMicros).toBe(50);
  });

  it("goes beyond the front even where all rows have one instant", () => {
    expect(following(backlog(100), backlog(100), backlog(100)).at).toBe(116);
  });

  it("grows over a time in which little was written until it bounds nothing any more", () => {
    const empty: Advance = { shards: 64, reached: [200], isCrowded: false, isBounded: true };
    let horizon = following(backlog(0), backlog(100));
    const seen: number[] = [];
    while (Number.isFinite(horizon.at)) {
      horizon = nextHorizon(horizon, empty);
      seen.push(horizon.at);
    }
    expect(seen.slice(0, 2)).toEqual([200 + 16 * 400, 200 + 16 * 1_600]);
    expect(seen.length).toBeLessThan(30);
    expect(horizon).toBe(boundless);
  });
});
