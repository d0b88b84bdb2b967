import { describe, expect, it } from "vitest";
import { transactionsOf, type Workload } from "../../../src/cli/demo/workload.ts";

const workload: Workload = { events: 1_003, writers: 4, aggregates: 20, seed: 42 };

function plan(writer: number, changed: Partial<Workload> = {}) {
  return [...transactionsOf({ ...workload, ...changed }, writer)];
}

function planAll(changed: Partial<Workload> = {}) {
  const { writers } = { ...workload, ...changed };
  return Array.from({ length: writers }, (_, writer) => plan(writer, changed)).flat();
}

const eventsOf = (transactions: ReturnType<typeof plan>) =>
  transactions.flatMap(({ steps }) => steps.flatMap(({ events }) => events));

describe("the workload of the demo", () => {
  it.each([1, 7, 1_003])("commits exactly %i events", (events) => {
    const committed = planAll({ events }).filter(({ isRolledBack }) => !isRolledBack);
    expect(eventsOf(committed)).toHaveLength(events);
  });

  it("is the same for the same seed and another for another", () => {
    expect(plan(0)).toEqual(plan(0));
    expect(plan(0)).not.toEqual(plan(0, { seed: 43 }));
    expect(plan(0)).not.toEqual(plan(1));
  });

  it("rolls some back, inserts some plainly, and waits in between", () => {
    const transactions = planAll();
    const steps = transactions.flatMap((transaction) => transaction.steps);
    expect(transactions.some(({ isRolledBack }) => isRolledBack)).toBe(true);
    expect(transactions.some((transaction) => transaction.steps.length > 1)).toBe(true);
    expect(steps.some(({ isPlainInsert }) => isPlainInsert)).toBe(true);
    expect(steps.some(({ pauseMs }) => pauseMs > 0)).toBe(true);
    expect(Math.max(...steps.map(({ pauseMs }) => pauseMs))).toBeLessThan(12);
  });

  it("gives every event of an aggregate the same type, so that they share a topic", () => {
    const types = new Map<string, Set<string | null>>();
    for (const { aggregateId, aggregateType } of eventsOf(planAll())) {
      types.set(aggregateId, (types.get(aggregateId) ?? new Set()).add(aggregateType));
    }
    expect([...types.values()].every((seen) => seen.size === 1)).toBe(true);
    expect(new Set([...types.values()].flatMap((seen) => [...seen]))).toEqual(new Set(["order", null]));
  });

  it("has several writers write to one aggregate", () => {
    const writersOf = new Map<string, Set<unknown>>();
    for (const { aggregateId, payload } of eventsOf(planAll())) {
      writersOf.set(aggregateId, (writersOf.get(aggregateId) ?? new Set()).add(payload.writer));
    }
    expect(Math.max(...[...writersOf.values()].map((writers) => writers.size))).toBe(4);
  });

  it("works with a single aggregate", () => {
    expect(new Set(eventsOf(planAll({ aggregates: 1 })).map(({ aggregateId }) => aggregateId)).size).toBe(1);
  });
});
