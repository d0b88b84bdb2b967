import { describe, expect, it } from "vitest";
import { median, quantilesOf, ratioOf, spreadOf } from "../../../src/foundation/figures.ts";
import { niceCeiling, plotBars } from "../../bench/plot.ts";

describe("figures of a benchmark", () => {
  it("takes the middle, not the mean", () => {
    expect(median([1, 100, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it("names quantiles that were measured, by nearest rank", () => {
    const values = Array.from({ length: 100 }, (_, n) => 100 - n);
    expect(quantilesOf(values)).toEqual({ count: 100, p50: 50, p95: 95, p99: 99, max: 100 });
    expect(quantilesOf([7])).toEqual({ count: 1, p50: 7, p95: 7, p99: 7, max: 7 });
  });

  it("says so when an event never arrived, instead of leaving it out", () => {
    expect(quantilesOf([1, Number.NaN]).max).toBeNaN();
  });

  it("compares round by round: a slow machine slows both sides of a round", () => {
    // The medians alone would say 20 / 20.
    expect(ratioOf([10, 20, 40], [20, 40, 20])).toEqual({ median: 0.5, min: 0.5, max: 2 });
    expect(spreadOf([1.26, 1.11], 1)).toEqual({ median: 1.2, min: 1.1, max: 1.3 });
  });
});

describe("a plot", () => {
  it("has a scale that holds every bar", () => {
    expect([0, 1, 3, 7, 99, 100, 101].map(niceCeiling)).toEqual([1, 1, 5, 10, 100, 100, 200]);
  });

  it("draws one bar a value, and lets no label break the picture", () => {
    const bars = [
      { label: "a < b & c", value: 10, min: 8, max: 12 },
      { label: "other", value: 5, min: 5, max: 5 },
    ];
    const svg = plotBars({ title: "t", unit: "ms", groups: [{ label: "g", bars }] });
    expect(svg.match(/<rect [^>]*height="\d+\.\d"/g)).toHaveLength(bars.length);
    expect(svg).toContain("a &lt; b &amp; c");
  });
});
