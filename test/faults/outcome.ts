/** What became of a row: the figures, and every promise that was broken. */
import type { Judgement } from "./judge.ts";

export interface Bounds {
  readonly duplicatesMax: number;
  /** Fewer would mean that the fault was not where the row says it is. */
  readonly duplicatesMin?: number;
  /** Duplicates that no mode of delivery can prevent here; the row says why. */
  readonly unavoidableMax?: number;
  readonly unavoidableMin?: number;
  /** From the kill or the healing to the next event published; null where nothing stood still. */
  readonly recoveryMs?: number | null;
  readonly recoveryMsMax?: number;
  /** Only where order cannot hold, and the row says why. */
  readonly inversionsMax?: number;
  readonly phantomMax?: number;
  readonly missingMax?: number;
  /** Unasked exits of relays that are allowed (PUBLISH_STUCK ends the process on purpose). */
  readonly crashesMax?: number;
  readonly backlogLeft?: number;
  /** I10; default 30 s. */
  readonly drainMsMax?: number;
  readonly leasesLeft?: boolean;
  /** What was measured beside the counts. */
  readonly figures?: Readonly<Record<string, number | readonly number[]>>;
}

export interface Outcome extends Omit<Judgement, "examples"> {
  readonly ok: boolean;
  readonly duplicatesMax: number;
  readonly recoveryMs: number | null;
  readonly connectionsMax: number;
  /** Exits that nobody had asked for. */
  readonly crashes: number;
  /** Broken promises, one sentence each; empty when `ok`. */
  readonly violations: readonly string[];
  readonly notes: readonly string[];
  readonly figures?: Bounds["figures"];
}

interface Observed {
  readonly violations: readonly string[];
  readonly notes: readonly string[];
  readonly crashes: number;
  readonly connectionsMax: number;
}

/** `isTimed`: whether a recovery that took too long breaks the row; not in a test, whose machine may be busy. */
export function summarise(
  judgement: Judgement,
  bounds: Bounds,
  observed: Observed,
  isTimed: boolean,
): Outcome {
  const { examples, ...counts } = judgement;
  const { recoveryMs = null } = bounds;
  const recoveryMsMax = isTimed
    ? (bounds.recoveryMsMax ?? Number.POSITIVE_INFINITY)
    : Number.POSITIVE_INFINITY;
  const limits: readonly (readonly [string, number, number])[] = [
    ["I1: missing", counts.missing, bounds.missingMax ?? 0],
    ["I2: phantom", counts.phantom, bounds.phantomMax ?? 0],
    ["I3: inversions", counts.inversions, bounds.inversionsMax ?? 0],
    ["I4: gaps", counts.gaps, Math.max(bounds.inversionsMax ?? 0, bounds.missingMax ?? 0)],
    ["I5: strays", counts.strays, 0],
    ["I6: corrupted", counts.corrupted, 0],
    ["I7: duplicates", counts.duplicates, bounds.duplicatesMax],
    ["relays that crashed", observed.crashes, bounds.crashesMax ?? 0],
    ["recovery in ms", recoveryMs ?? 0, recoveryMsMax],
  ];
  const broken = limits
    .filter(([, count, max]) => count > max)
    .map(([name, count, max]) => `${name}: ${count}, allowed ${max}`);
  if (counts.duplicates < (bounds.duplicatesMin ?? 0)) broken.push("the fault has hit nothing: no duplicate");
  const violations = [...observed.violations, ...broken, ...(broken.length > 0 ? examples : [])];
  return {
    ...counts,
    ok: violations.length === 0,
    duplicatesMax: bounds.duplicatesMax,
    recoveryMs,
    connectionsMax: observed.connectionsMax,
    crashes: observed.crashes,
    violations,
    notes: observed.notes,
    ...(bounds.figures === undefined ? undefined : { figures: bounds.figures }),
  };
}
