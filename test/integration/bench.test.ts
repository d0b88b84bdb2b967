/** The bench as its users run it: a process of its own, on the servers it is given. */
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { describe, expect, inject, it } from "vitest";
import type { BenchFigures } from "../../src/cli/bench/bench-run.ts";
import { endOf, leftBehind, pipesOf, runTrial, startTrial } from "../support/trial.ts";

const timeout = 120_000;
const small = ["--events", "2000", "--rate", "200", "--seconds", "1", "--rounds", "1"];

describe("the bench", () => {
  it("measures relay and loop on the servers it is given, and leaves nothing behind", {
    timeout,
  }, async () => {
    const url = inject("postgresUrl");
    const { out, err, code } = await runTrial("bench", url, ...small, "--json");
    const { turns, ...options } = JSON.parse(out) as BenchFigures;
    expect(options).toMatchObject({ events: 2_000, rate: 200, seconds: 1, rounds: 1, bytes: 300 });
    for (const side of ["relay", "loop"] as const) {
      expect(turns[side]).toHaveLength(1);
      expect(turns[side][0]?.eventsPerSecond).toBeGreaterThan(0);
      expect(turns[side][0]?.latencyMs).toMatchObject({ count: 200, p99: expect.any(Number) });
      expect(turns[side][0]?.latencyMs.p50).toBeGreaterThan(0);
    }
    expect(err).toMatch(/latency p99, ms +\d/);
    expect(code).toBe(0);
    expect(await leftBehind("bench", url)).toEqual([]);
  });

  it("removes everything when it is interrupted", { timeout }, async () => {
    const url = inject("postgresUrl");
    const { child, stdout, stderr, closed } = pipesOf(
      startTrial("bench", url, ["--seconds", "600", "--rounds", "1"]),
    );
    const errors = text(stderr);
    for await (const line of createInterface({ input: stdout }))
      if (line.includes("measuring latency")) break;
    child.kill("SIGINT");
    stdout.resume();
    const [code] = await closed;
    expect(code).toBe(130);
    expect(await errors).toBe("");
    expect(await leftBehind("bench", url)).toEqual([]);
  });

  it("says what is wrong with the settings, and begins nothing", async () => {
    const url = inject("postgresUrl");
    const { err, code } = await endOf(startTrial("bench", url, small, { OUTRIDER_POLL_MAX_MS: "0" }));
    expect(code).not.toBe(0);
    expect(err).toContain("OUTRIDER_POLL_MAX_MS");
    expect(await leftBehind("bench", url)).toEqual([]);
  });

  it.each([
    ["--bytes", "3"],
    ["--rounds", "0"],
    ["--rate", "fast"],
  ])("refuses %s %s as wrong usage", async (flag, value) => {
    const { err, code } = await runTrial("bench", inject("postgresUrl"), flag, value);
    expect(code).toBe(2);
    expect(err).toContain(flag);
  });
});
