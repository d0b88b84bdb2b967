import { describe, expect, it } from "vitest";
import { SweepWindows, windowRows } from "../../../src/relay/sweep-windows.ts";

const boundsOf = (windows: SweepWindows) =>
  windows
    .list()
    .map(({ until }) => until)
    .slice(0, -1);

/** One sweep, in which each window costs what it is told. */
function sweep(windows: SweepWindows, costOf: (from: number, until: number) => number) {
  for (const window of windows.list()) windows.judge(window, costOf(window.from, window.until));
}

/** With so many rows claimed a second, from second 0 on. */
function claimed(windows: SweepWindows, batches: number, rows = 2_000) {
  for (let n = 1; n <= batches; n += 1) windows.note(rows, n * 1_000_000);
}

describe("the windows of a sweep", () => {
  it("are all of time without a gap, the oldest first", () => {
    const windows = new SweepWindows();
    expect(windows.list()).toEqual([{ from: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY }]);
    claimed(windows, 25);
    expect(windows.list()).toEqual([
      { from: Number.NEGATIVE_INFINITY, until: 10_000_000 },
      { from: 10_000_000, until: 20_000_000 },
      { from: 20_000_000, until: Number.POSITIVE_INFINITY },
    ]);
  });

  it("end where so many rows were claimed, and never go back", () => {
    const windows = new SweepWindows();
    windows.note(windowRows, 500);
    windows.note(windowRows, 300);
    windows.note(windowRows, 900);
    windows.note(windowRows, Number.NaN);
    expect(boundsOf(windows)).toEqual([500, 900]);
  });

  it("become one where there is next to nothing", () => {
    const windows = new SweepWindows();
    claimed(windows, 1_000);
    expect(windows.list()).toHaveLength(101);
    sweep(windows, () => 1);
    expect(windows.list().length).toBeLessThan(20);
    sweep(windows, () => 1);
    sweep(windows, () => 1);
    expect(boundsOf(windows)).toEqual([]);
  });

  it("are divided where they took long, until none does", () => {
    const windows = new SweepWindows();
    windows.note(windowRows, 0);
    windows.note(windowRows, 1_000_000);
    // A row for each microsecond, a millisecond for a thousand rows.
    const costOf = (from: number, until: number) =>
      Number.isFinite(from) && Number.isFinite(until) ? (until - from) / 1_000 : 0;
    for (let n = 0; n < 5; n += 1) sweep(windows, costOf);
    const costs = windows.list().map(({ from, until }) => costOf(from, until));
    expect(Math.max(...costs)).toBeLessThanOrEqual(40);
    expect(costs.length).toBeLessThan(110);
  });

  it("divide also what has no beginning, further back each time", () => {
    const windows = new SweepWindows();
    const minute = 60_000_000;
    const now = 1_800_000_000_000_000;
    windows.note(windowRows, now);
    const old = now - 100 * minute;
    // What another relay has left behind in a hundred minutes.
    const costOf = (from: number, until: number) => {
      const span = Math.min(until, now) - Math.max(from, old);
      return Math.max(0, span / minute) * 30;
    };
    for (let n = 0; n < 12; n += 1) sweep(windows, costOf);
    expect(Math.max(...windows.list().map(({ from, until }) => costOf(from, until)))).toBeLessThanOrEqual(40);
  });

  it("do not go back beyond 1970, however slow it is there", () => {
    const windows = new SweepWindows();
    windows.note(windowRows, 1_800_000_000_000_000);
    for (let n = 0; n < 100; n += 1) sweep(windows, (from) => (Number.isFinite(from) ? 20 : 1_000));
    expect(boundsOf(windows)[0]).toBe(0);
    windows.note(windowRows, Number.NEGATIVE_INFINITY);
    const ancient = new SweepWindows();
    ancient.note(windowRows, -5_000_000);
    sweep(ancient, () => 1_000);
    expect(boundsOf(ancient)).toEqual([]);
  });

  it("stay few, however long there is no vacuum", () => {
    const windows = new SweepWindows();
    for (let n = 1; n <= 20_000; n += 1) windows.note(windowRows, n);
    expect(windows.list().length).toBeLessThanOrEqual(4_097);
    expect(boundsOf(windows).at(-1)).toBe(20_000);
  });
});
