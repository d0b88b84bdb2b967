import { describe, expect, it } from "vitest";
import { LatencyHistogram } from "../../../src/cli/demo/latency-histogram.ts";
import {
  coloured,
  isKept,
  jsonOutcome,
  type Outcome,
  plain,
  progressLine,
  renderOutcome,
  sparkline,
} from "../../../src/cli/demo/rendering.ts";
import { seededRandom } from "../../../src/cli/demo/seeded-random.ts";
import { UndoList } from "../../../src/cli/trial/undo-list.ts";

const outcome: Outcome = {
  to: "kafka",
  committed: 20_000,
  published: 20_000,
  missing: 0,
  phantom: 0,
  inversions: 0,
  duplicates: 3,
  corrupted: 0,
  misaddressed: 0,
  split: 0,
  left: 0,
  isStopClean: true,
  rolledBack: 1_204,
  elapsedMs: 6_543,
  eventsPerSecond: 3_056,
  latencyMs: { p50: 12.5, p99: 80, max: 99 },
  seed: 7,
  examples: {},
};

describe("what the demo shows", () => {
  it("says that all promises held, duplicates or not", () => {
    const text = renderOutcome(outcome, plain);
    expect(text).toContain("All 8 promises held.");
    expect(text).not.toContain("✗");
    expect(isKept(outcome)).toBe(true);
  });

  it.each(["missing", "phantom", "inversions", "split", "corrupted", "misaddressed", "left"] as const)(
    "says so when %s is not 0",
    (fault) => {
      const broken = { ...outcome, [fault]: 2 };
      expect(renderOutcome(broken, plain)).toContain("1 of 8 promises BROKEN.");
      expect(renderOutcome(broken, plain).match(/✗/g)).toHaveLength(1);
      expect(isKept(broken)).toBe(false);
    },
  );

  it("says so when the relay did not stop by itself", () => {
    const broken = { ...outcome, isStopClean: false };
    expect(renderOutcome(broken, plain)).toContain("1 of 8 promises BROKEN.");
    expect(isKept(broken)).toBe(false);
  });

  it("names the first event of a fault, in the table and in the object", () => {
    const broken = { ...outcome, missing: 1, examples: { missing: "e9" } };
    expect(renderOutcome(broken, plain)).toContain("first missing: event e9");
    expect(JSON.parse(jsonOutcome(broken))).toMatchObject({ missing: 1, examples: { missing: "e9" } });
  });

  it("gives one object with every figure", () => {
    const { examples: _, ...figures } = outcome;
    expect(JSON.parse(jsonOutcome(outcome))).toEqual(figures);
  });

  it("colours only when asked", () => {
    const started = "\u001b[";
    expect(renderOutcome(outcome, plain)).not.toContain(started);
    expect(renderOutcome(outcome, coloured)).toContain(started);
  });

  it("keeps a line of progress within the terminal", () => {
    const sample = {
      committed: 1_000_000,
      published: 900_000,
      eventsPerSecond: 12_345.6,
      rates: [0, 1, 2, 4],
    };
    expect(progressLine(sample, 200)).toBe(
      "committed 1,000,000  published 900,000  backlog 100,000  12,346/s ▁▃▅█",
    );
    expect(progressLine(sample, 40)).toHaveLength(39);
  });

  it("draws nothing high when nothing happens", () => {
    expect(sparkline([0, 0])).toBe("▁▁");
    expect(sparkline([])).toBe("");
  });
});

describe("the histogram of latencies", () => {
  it("is within 2 % of the exact quantiles, for random values", () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = seededRandom(seed);
    const histogram = new LatencyHistogram();
    const values = Array.from({ length: 5_000 }, () => 10 ** (random.next() * 5 - 1));
    for (const value of values) histogram.record(value);
    values.sort((a, b) => a - b);
    const { p50, p99, max } = histogram.summary();
    for (const [estimate, exact] of [
      [p50, values[2_499] ?? 0],
      [p99, values[4_949] ?? 0],
    ] as const) {
      expect(estimate, `seed ${seed}`).toBeGreaterThanOrEqual(exact - 0.01);
      expect(estimate, `seed ${seed}`).toBeLessThanOrEqual(exact * 1.021 + 0.01);
    }
    expect(max).toBeCloseTo(values.at(-1) ?? 0, 1);
  });

  it("is all zero without a value, and takes a negative one as zero", () => {
    const histogram = new LatencyHistogram();
    expect(histogram.summary()).toEqual({ p50: 0, p99: 0, max: 0 });
    histogram.record(-5);
    expect(histogram.summary()).toEqual({ p50: 0, p99: 0, max: 0 });
  });
});

describe("the list of what to undo", () => {
  it("undoes everything once, last first, whatever fails", async () => {
    const undone: string[] = [];
    const list = new UndoList();
    list.add("undo a", async () => undone.push("a"));
    list.add("undo b", async () => Promise.reject(new Error("no")));
    list.add("undo c", async () => undone.push("c"));
    expect(await list.undoAll()).toEqual(["could not undo b: no"]);
    expect(await list.undoAll()).toEqual([]);
    expect(undone).toEqual(["c", "a"]);
  });
});
