/** What a run is made of, as values that fast-check can draw and shrink. */
import fc from "fast-check";

export interface RelaySetup {
  readonly rate: number;
  readonly wallOffsetMs: number;
  readonly startMs: number;
}

export interface RowPlan {
  readonly aggregate: number;
  readonly gapUs: number;
  /** A row that no publisher can translate, until somebody repairs or deletes it. */
  readonly fault: "none" | "repaired" | "discarded";
  /** The application gives `created_at` itself, and it lies in the past. */
  readonly isBackdated: boolean;
}

export interface TransactionPlan {
  readonly atMs: number;
  readonly rows: readonly RowPlan[];
  readonly holdUs: number;
  readonly end: "commit" | "roll back" | "prepare";
}

export interface LostRequests {
  readonly fate: "unanswered" | "lost" | "late";
  readonly byMs: number;
  /** So many in a row: a lease outlives one renewal that is lost, but not three. */
  readonly times: number;
}

export type FaultPlan = { readonly atMs: number } & (
  | { readonly kind: "kill" | "stop"; readonly relay: number; readonly restartMs: number }
  | { readonly kind: "pause"; readonly relay: number; readonly forMs: number }
  | { readonly kind: "sweep"; readonly relay: number }
  | { readonly kind: "database away"; readonly forMs: number }
  | ({
      readonly kind: "statement";
      readonly relay: number;
      readonly of: "read" | "remove" | "lease";
    } & LostRequests)
  | ({ readonly kind: "send"; readonly relay: number } & LostRequests)
  | { readonly kind: "leader away"; readonly partition: number; readonly forMs: number }
  | { readonly kind: "refuse"; readonly aggregate: number; readonly forMs: number }
);

export interface Scenario {
  /** Draws latencies and jitter. */
  readonly seed: number;
  readonly relays: readonly RelaySetup[];
  readonly batchEventsMax: number;
  readonly chunkEventsMax: number;
  readonly latencyUsMax: number;
  /** Writers announce their shards. */
  readonly isNarrow: boolean;
  /** Null waits for open writers for ever. */
  readonly fenceHoldMs: number | null;
  readonly rejected: "block" | "dead-letter";
  readonly transactions: readonly TransactionPlan[];
  readonly faults: readonly FaultPlan[];
}

export const aggregateCount = 6;
export const relayCountMax = 3;
/** When the last fault ends and the last writer has begun. */
export const healMs = 320;

/** Often near one of two moments: what hurts is mostly two things at once. */
const at = fc.oneof(
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 250 }) },
  { weight: 2, arbitrary: fc.integer({ min: 60, max: 80 }) },
  { weight: 1, arbitrary: fc.integer({ min: 150, max: 170 }) },
);
/** Around and beyond the life of a lease. */
const span = fc.oneof(fc.integer({ min: 1, max: 150 }), fc.integer({ min: 90, max: 200 }));
const times = fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 4 }));
const relay = fc.nat({ max: relayCountMax - 1 });
const aggregate = fc.nat({ max: aggregateCount - 1 });
const fate = fc.constantFrom<LostRequests["fate"]>("unanswered", "lost", "late");

const row: fc.Arbitrary<RowPlan> = fc.record({
  aggregate,
  gapUs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 5_000 })),
  fault: fc.oneof(
    { weight: 30, arbitrary: fc.constant<RowPlan["fault"]>("none") },
    { weight: 1, arbitrary: fc.constantFrom<RowPlan["fault"]>("repaired", "discarded") },
  ),
  isBackdated: fc.oneof(
    { weight: 30, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
});

/** A transaction that writes about one thing many times. */
const burst = fc
  .tuple(aggregate, fc.integer({ min: 2, max: 8 }))
  .map(([only, count]) => Array.from({ length: count }, () => plain(only)));

const plain = (only: number): RowPlan => ({ aggregate: only, gapUs: 0, fault: "none", isBackdated: false });

const transaction: fc.Arbitrary<TransactionPlan> = fc.record({
  atMs: at,
  rows: fc.oneof(
    { weight: 4, arbitrary: fc.array(row, { minLength: 1, maxLength: 4 }) },
    { weight: 1, arbitrary: burst },
  ),
  holdUs: fc.oneof(
    { weight: 3, arbitrary: fc.nat({ max: 3_000 }) },
    { weight: 1, arbitrary: fc.nat({ max: 60_000 }) },
  ),
  end: fc.oneof(
    { weight: 10, arbitrary: fc.constant<TransactionPlan["end"]>("commit") },
    { weight: 1, arbitrary: fc.constantFrom<TransactionPlan["end"]>("roll back", "prepare") },
  ),
});

/** What may happen to a healthy installation: none of it may cost a duplicate. */
const calmFault: fc.Arbitrary<FaultPlan> = fc.oneof(
  fc.record({ atMs: at, kind: fc.constant("stop" as const), relay, restartMs: span }),
  fc.record({ atMs: at, kind: fc.constant("sweep" as const), relay }),
  fc.record({ atMs: at, kind: fc.constant("refuse" as const), aggregate, forMs: span }),
);

const roughFault: fc.Arbitrary<FaultPlan> = fc.oneof(
  fc.record({ atMs: at, kind: fc.constant("kill" as const), relay, restartMs: span }),
  fc.record({ atMs: at, kind: fc.constant("pause" as const), relay, forMs: span }),
  fc.record({ atMs: at, kind: fc.constant("database away" as const), forMs: span }),
  fc.record({
    atMs: at,
    kind: fc.constant("statement" as const),
    relay,
    of: fc.constantFrom("read" as const, "remove" as const, "lease" as const),
    fate,
    byMs: span,
    times,
  }),
  fc.record({ atMs: at, kind: fc.constant("send" as const), relay, fate, byMs: span, times }),
  fc.record({
    atMs: at,
    kind: fc.constant("statement" as const),
    relay,
    of: fc.constant("lease" as const),
    fate,
    byMs: span,
    times: fc.integer({ min: 3, max: 5 }),
  }),
  fc.record({
    atMs: at,
    kind: fc.constant("leader away" as const),
    partition: fc.nat({ max: 2 }),
    forMs: span,
  }),
);

/** What makes a lease lapse while its relay is alive and in the middle of something. */
const lapse: fc.Arbitrary<FaultPlan> = fc.oneof(
  fc.record({
    atMs: at,
    kind: fc.constant("pause" as const),
    relay,
    forMs: fc.integer({ min: 80, max: 150 }),
  }),
  fc.record({
    atMs: at,
    kind: fc.constant("statement" as const),
    relay,
    of: fc.constant("lease" as const),
    fate,
    byMs: span,
    times: fc.integer({ min: 3, max: 5 }),
  }),
  fc.record({ atMs: at, kind: fc.constant("send" as const), relay, fate, byMs: span, times }),
);

const setup: fc.Arbitrary<RelaySetup> = fc.record({
  rate: fc.constantFrom(1, 0.97, 1.03),
  wallOffsetMs: fc.constantFrom(0, -400, 400),
  startMs: fc.oneof(fc.constant(0), at),
});

function scenarioWith(fault: fc.Arbitrary<FaultPlan>): fc.Arbitrary<Scenario> {
  return fc.record({
    seed: fc.nat({ max: 999_999 }),
    relays: fc.array(setup, { minLength: 1, maxLength: relayCountMax }),
    batchEventsMax: fc.integer({ min: 1, max: 8 }),
    chunkEventsMax: fc.integer({ min: 1, max: 4 }),
    latencyUsMax: fc.constantFrom(500, 3_000, 9_000),
    isNarrow: fc.boolean(),
    fenceHoldMs: fc.oneof(
      { weight: 5, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constant(20) },
    ),
    rejected: fc.constantFrom("block" as const, "dead-letter" as const),
    transactions: fc.array(transaction, { minLength: 1, maxLength: 24, size: "max" }),
    faults: fc.array(fault, { maxLength: 8, size: "max" }),
  });
}

export const calmScenario = scenarioWith(calmFault);
export const roughScenario = scenarioWith(
  fc.oneof({ weight: 1, arbitrary: calmFault }, { weight: 2, arbitrary: roughFault }),
);
export const lapseScenario = scenarioWith(lapse);
export const anyScenario = fc.oneof(calmScenario, roughScenario, lapseScenario);

const calmKinds: readonly FaultPlan["kind"][] = ["stop", "sweep", "refuse"];

/** Whether nothing in it can leave an outcome unknown, so that nothing may be doubled. */
export function isCalm({ faults }: Scenario): boolean {
  return faults.every(({ kind }) => calmKinds.includes(kind));
}
