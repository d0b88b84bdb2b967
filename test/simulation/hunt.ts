/** Looks for a scenario that breaks a law, and for the smallest one of its kind. */
import fc from "fast-check";
import type { Violation } from "./laws.ts";
import type { Mutant } from "./relay-under-test.ts";
import { anyScenario, type Scenario } from "./scenario.ts";
import { simulate } from "./simulation.ts";

export interface Quarry {
  readonly seed: number;
  readonly runs: number;
  readonly events: number;
  readonly duplicates: number;
  readonly durationMs: number;
  /** Undefined when every law held in every run. */
  readonly found: Found | undefined;
}

export interface Found {
  /** How many scenarios were drawn until the first one broke a law. */
  readonly runsNeeded: number;
  readonly shortest: Scenario;
  readonly violations: readonly Violation[];
  /** With the seed, runs exactly this scenario again. */
  readonly path: string;
}

export interface HuntChoices {
  readonly seed: number;
  readonly runs: number;
  readonly mutant?: Mutant;
  /** Stop shrinking after so long; the smallest so far is taken. */
  readonly shrinkMsMax?: number;
  /** Runs one scenario again instead of drawing new ones. */
  readonly path?: string;
}

class Broken extends Error {}

export async function hunt({ seed, runs, mutant, shrinkMsMax = 20_000, path }: HuntChoices): Promise<Quarry> {
  const startedMs = performance.now();
  const sums = { runs: 0, events: 0, duplicates: 0 };
  let brokenAtMs: number | undefined;
  const property = fc.asyncProperty(mutant?.scenarios ?? anyScenario, async (scenario) => {
    // Out of time: nothing smaller is looked for.
    if (brokenAtMs !== undefined && performance.now() - brokenAtMs > shrinkMsMax) return;
    const { violations, events, duplicates } = await simulate(scenario, mutant);
    if (violations.length > 0) {
      brokenAtMs ??= performance.now();
      throw new Broken(violations[0]?.law);
    }
    sums.runs += 1;
    sums.events += events;
    sums.duplicates += duplicates;
  });
  const details = await fc.check(property, { seed, numRuns: runs, ...(path === undefined ? {} : { path }) });
  if (details.failed && !(details.errorInstance instanceof Broken)) throw details.errorInstance;
  const durationMs = performance.now() - startedMs;
  const [shortest] = details.counterexample ?? [];
  const found =
    shortest === undefined
      ? undefined
      : {
          runsNeeded: details.numRuns,
          shortest,
          violations: (await simulate(shortest, mutant)).violations,
          path: details.counterexamplePath ?? "",
        };
  return { seed, ...sums, durationMs, found };
}

/** A scenario in a few lines: what somebody needs to follow it with a finger. */
export function describeScenario({ relays, transactions, faults, ...rest }: Scenario): string {
  const { batchEventsMax, chunkEventsMax, latencyUsMax, isNarrow, fenceHoldMs, rejected, seed } = rest;
  const writes = transactions.map(({ atMs, rows, holdUs, end }) => {
    const inserts = rows.map(
      ({ aggregate, gapUs, fault, isBackdated }) =>
        `${aggregate}${gapUs > 0 ? ` after ${gapUs} µs` : ""}${fault === "none" ? "" : ` (${fault})`}${isBackdated ? " (backdated)" : ""}`,
    );
    return `  ${atMs} ms: insert into ${inserts.join(", ")}; ${end} after ${holdUs} µs`;
  });
  const blows = faults.map(({ atMs, kind, ...how }) => `  ${atMs} ms: ${kind} ${JSON.stringify(how)}`);
  return [
    `${relays.length} relay(s) ${JSON.stringify(relays)}`,
    `batch ${batchEventsMax}, chunk ${chunkEventsMax}, latency ${latencyUsMax} µs, ${isNarrow ? "narrow, " : ""}hold ${fenceHoldMs}, rejected ${rejected}, seed ${seed}`,
    ...writes,
    ...blows,
  ].join("\n");
}
