import { describe, expect, it } from "vitest";
import { backoffMs, eventsToClaim, isLongest, pauseMs } from "../../../src/relay/pace.ts";

describe("pace", () => {
  it("does not pause while a batch was cut", () => {
    expect(pauseMs(0, true, { pollMinMs: 2, pollMaxMs: 25 }, () => 0)).toBe(0);
  });

  it("doubles its pause while idle, up to the maximum, with jitter below it", () => {
    const limits = { pollMinMs: 2, pollMaxMs: 25 };
    const idle = [0, 1, 2, 3, 4, 5, 99];
    expect(idle.map((polls) => pauseMs(polls, false, limits, () => 1))).toEqual([2, 2, 4, 8, 16, 25, 25]);
    expect(idle.filter((polls) => isLongest(polls, limits))).toEqual([5, 99]);
    expect(isLongest(0, { pollMinMs: 25, pollMaxMs: 25 })).toBe(false);
    expect(pauseMs(99, false, limits, () => 0)).toBe(22.5);
  });

  it("backs off between half of a doubling ceiling and the whole of it", () => {
    expect([1, 2, 3, 60].map((attempt) => backoffMs(attempt, 100, 5_000, () => 1))).toEqual([
      100, 200, 400, 5_000,
    ]);
    expect(backoffMs(1, 100, 5_000, () => 0)).toBe(50);
  });

  it("asks for about as many rows as fill the byte limit", () => {
    expect(eventsToClaim(0, 2_000, 1_000_000)).toBe(2_000);
    expect(eventsToClaim(300, 2_000, 1_000_000)).toBe(2_000);
    expect(eventsToClaim(100_000, 2_000, 1_000_000)).toBe(16);
    expect(eventsToClaim(10_000, 2_000, 1_000_000)).toBe(125);
  });
});
