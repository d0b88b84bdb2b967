import { describe, expect, it } from "vitest";
import { makeEventIds, newEventId } from "../../../src/enqueue/event-id.ts";

const shape = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const msOf = (id: string) => Number.parseInt(id.replace("-", "").slice(0, 12), 16);

function idsAt(...times: number[]): string[] {
  let now = 0;
  const next = makeEventIds({ wallMs: () => now });
  return times.map((time) => {
    now = time;
    return next();
  });
}

function expectIncreasing(ids: readonly string[]): void {
  expect(ids.findIndex((id, index) => index > 0 && id <= (ids[index - 1] ?? ""))).toBe(-1);
}

describe("event ids", () => {
  it("are version 7 UUIDs that begin with the clock", () => {
    const [id = ""] = idsAt(0x0192_3456_789a);
    expect(id).toMatch(shape);
    expect(id.startsWith("01923456-789a-7")).toBe(true);
  });

  it("increase strictly, also far beyond what one millisecond's counter holds", () => {
    const next = makeEventIds({ wallMs: () => 1_700_000_000_000 });
    const ids = Array.from({ length: 20_000 }, next);
    expectIncreasing(ids);
    expect(ids.every((id) => shape.test(id))).toBe(true);
    expect(msOf(ids[19_999] ?? "")).toBeLessThan(1_700_000_000_000 + 20);
  });

  it("increase strictly when the clock steps back", () => {
    const ids = idsAt(1000, 2000, 1500, 1500, 2001);
    expectIncreasing(ids);
    expect(ids.map(msOf)).toEqual([1000, 2000, 2000, 2000, 2001]);
  });

  it("increase strictly on the real clock", () => {
    expectIncreasing(Array.from({ length: 50_000 }, newEventId));
  });

  it("of two processes in one millisecond do not meet", () => {
    const made = Array.from({ length: 1_000 }, () => makeEventIds({ wallMs: () => 7 })());
    expect(new Set(made).size).toBe(1_000);
  });
});
