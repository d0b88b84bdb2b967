import { describe, expect, it } from "vitest";
import { metricTable } from "../../../src/observability/metric-table.ts";
import { overflowLabel, Registry, seriesMax } from "../../../src/observability/registry.ts";
import { readExposition, sampleOf } from "../../support/exposition.ts";

const published = "outrider_events_published_total";
const latency = "outrider_delivery_latency_seconds";

describe("the registry", () => {
  it("renders what Prometheus reads, whatever stands in a label", () => {
    const registry = new Registry();
    const topics = ['with "quotes"', "with \\ and\nnew lines", '{braces},a="b"', ""];
    for (const [at, topic] of topics.entries()) registry.add(published, at + 1, topic);
    const families = readExposition(registry.render());
    expect(topics.map((topic) => sampleOf(families, published, { topic }))).toEqual([1, 2, 3, 4]);
  });

  it("starts every metric without labels at 0, so that the first increment is one", () => {
    const families = readExposition(new Registry().render());
    expect(sampleOf(families, "outrider_late_events_total")).toBe(0);
    expect(sampleOf(families, `${latency}_count`)).toBe(0);
  });

  it("bounds the series of a metric and loses no count", () => {
    const registry = new Registry();
    for (let n = 0; n < 5_000; n += 1) registry.add(published, 1, `topic-${n}`);
    registry.add(published, 1, "topic-3");
    const samples = readExposition(registry.render()).get(published)?.samples ?? [];
    expect(samples).toHaveLength(seriesMax + 1);
    expect(samples.reduce((sum, { value }) => sum + value, 0)).toBe(5_001);
    expect(samples.find(({ labels }) => labels.topic === overflowLabel)?.value).toBe(5_000 - seriesMax);
    expect(samples.find(({ labels }) => labels.topic === "topic-3")?.value).toBe(2);
  });

  it("counts a value on a bound into its bucket, and one above all bounds into the last", () => {
    const registry = new Registry();
    const [first = 0] = metricTable[latency].bounds;
    for (const value of [first, first * 1.01, 1e9]) registry.observe(latency, value);
    const families = readExposition(registry.render());
    expect(sampleOf(families, `${latency}_bucket`, { le: String(first) })).toBe(1);
    expect(sampleOf(families, `${latency}_bucket`, { le: "3600" })).toBe(2);
    expect(sampleOf(families, `${latency}_bucket`, { le: "+Inf" })).toBe(3);
    expect(sampleOf(families, `${latency}_sum`)).toBeCloseTo(1e9 + 2.01 * first);
  });

  it("shows what is not a number as Prometheus writes it", () => {
    const registry = new Registry();
    registry.set("outrider_fence_lag_seconds", Number.POSITIVE_INFINITY);
    registry.set("outrider_backlog_events", Number.NaN);
    expect(registry.render()).toContain("\noutrider_fence_lag_seconds +Inf\n");
    expect(registry.render()).toContain("\noutrider_backlog_events NaN\n");
  });
});

describe("the reader of the format", () => {
  it.each([
    ["a sample before its type", "a_total 1\n"],
    ["a series twice", "# HELP a b\n# TYPE a gauge\na 1\na 2\n"],
    ["a label with a bare quote", '# HELP a b\n# TYPE a gauge\na{l="x"y"} 1\n'],
    [
      "a histogram that falls",
      '# HELP h b\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
    ],
    ["a value that is no number", "# HELP a b\n# TYPE a gauge\na one\n"],
    ["an unended line", "# HELP a b\n# TYPE a gauge\na 1"],
  ])("refuses %s", (_, text) => {
    expect(() => readExposition(text)).toThrow();
  });
});
