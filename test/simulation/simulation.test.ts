/** The real core of the relay against scenarios that nobody thought of: every law, in every one of them. */
import { describe, expect, it } from "vitest";
import { describeScenario, hunt } from "./hunt.ts";
import type { Scenario } from "./scenario.ts";
import { simulate } from "./simulation.ts";

const runs = 250;
const plainRow = { aggregate: 0, gapUs: 0, fault: "none", isBackdated: false } as const;

const quiet: Scenario = {
  seed: 1,
  relays: [{ rate: 1, wallOffsetMs: 0, startMs: 0 }],
  batchEventsMax: 8,
  chunkEventsMax: 2,
  latencyUsMax: 500,
  isNarrow: false,
  fenceHoldMs: null,
  rejected: "block",
  transactions: [{ atMs: 5, rows: [plainRow, plainRow, plainRow], holdUs: 0, end: "commit" }],
  faults: [],
};

describe("simulation", () => {
  it(`keeps every law in ${runs} scenarios`, { timeout: 60_000 }, async () => {
    const seed = Math.floor(Math.random() * 1e6);
    const { found, events, duplicates, durationMs } = await hunt({ seed, runs });
    console.log(
      `seed ${seed}: ${runs} runs, ${events} events, ${duplicates} duplicates, ${Math.round(durationMs)} ms`,
    );
    const told =
      found === undefined ? "" : `${describeScenario(found.shortest)}\n--seed ${seed} --path ${found.path}`;
    expect(found?.violations ?? [], told).toEqual([]);
  });

  it("is the same run every time for the same scenario", async () => {
    const scenario: Scenario = {
      ...quiet,
      relays: [...quiet.relays, { rate: 1.03, wallOffsetMs: 400, startMs: 40 }],
      faults: [
        { atMs: 6, kind: "send", relay: 0, fate: "late", byMs: 30, times: 1 },
        { atMs: 60, kind: "kill", relay: 0, restartMs: 20 },
      ],
    };
    const first = await simulate(scenario);
    expect(await simulate(scenario)).toEqual(first);
    expect(first).toMatchObject({ violations: [], events: 3 });
    expect(first.duplicates).toBeGreaterThan(0);
  });

  it("publishes what stands before an event that cannot be translated, and the rest after its repair", async () => {
    const rows = [plainRow, { ...plainRow, fault: "repaired" as const }, plainRow];
    const outcome = await simulate({ ...quiet, transactions: [{ atMs: 5, rows, holdUs: 0, end: "commit" }] });
    expect(outcome).toMatchObject({ violations: [], events: 3, duplicates: 0 });
  });
});
