import { describe, expect, it } from "vitest";
import { readOptions } from "../../bench/options.ts";
import { scaleCases } from "../../bench/scale.ts";

describe("the cases of growth", () => {
  it("change one thing each, and keep what large payloads take together within bounds", () => {
    const [plain, ...others] = scaleCases(
      readOptions(["scale", "--events", "50000", "--backlogs", "10000,200000"]),
    );
    expect(plain).toMatchObject({ name: "plain", relays: 1, backlog: { events: 50_000, aggregates: 1_000 } });
    expect(others.map(({ backlog }) => backlog.events).slice(0, 2)).toEqual([10_000, 200_000]);
    for (const { backlog } of others)
      expect(backlog.events * backlog.payloadBytes).toBeLessThanOrEqual(200_000_000);
    const large = others.find(({ backlog }) => backlog.payloadBytes === 100_000);
    expect(large?.backlog.events).toBe(2_000);
    expect(others.filter(({ backlog }) => backlog.isHot)).toHaveLength(1);
  });
});
