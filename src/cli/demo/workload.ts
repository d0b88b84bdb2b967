/**
 * What the writers of the demo do, decided beforehand: pure, and the same for the same seed. Made to
 * hurt order: many writers share few aggregates, a transaction inserts in several statements, waits
 * between them and before its commit, and some transactions are rolled back after all that.
 */
import { type Random, seededRandom } from "./seeded-random.ts";

export interface Workload {
  /** How many events are committed in the end, exactly; rolled back ones come on top. */
  readonly events: number;
  readonly writers: number;
  readonly aggregates: number;
  readonly seed: number;
}

export interface PlannedEvent {
  readonly aggregateId: string;
  /** Null for the aggregates that plain INSERTs write to as well: those have no type to give. */
  readonly aggregateType: string | null;
  readonly eventType: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** One statement and the pause after it. */
export interface PlannedStep {
  readonly events: readonly PlannedEvent[];
  /** Written with a plain four-column INSERT, one statement an event, instead of `enqueue`. */
  readonly isPlainInsert: boolean;
  readonly pauseMs: number;
}

export interface PlannedTransaction {
  readonly steps: readonly PlannedStep[];
  readonly isRolledBack: boolean;
}

const stepsMax = 3;
const eventsPerStepMax = 4;
const pauseMaxMs = 12;
const rollbackShare = 0.06;
const plainShare = 0.05;
export const typedAggregate = "order";

/** The transactions of one writer, until its share of the events is committed. */
export function* transactionsOf(workload: Workload, writer: number): Generator<PlannedTransaction> {
  // Each writer has chance of its own, so that its plan does not depend on how writers interleave.
  const random = seededRandom(workload.seed + Math.imul(writer + 1, 0x9e3779b1));
  let left = shareOf(workload, writer);
  let number = 0;
  while (left > 0) {
    const isRolledBack = random.next() < rollbackShare;
    const steps: PlannedStep[] = [];
    let room = left;
    for (let step = 1 + random.below(stepsMax); step > 0 && room > 0; step--) {
      const planned = planStep(
        random,
        workload,
        writer,
        Math.min(room, 1 + random.below(eventsPerStepMax)),
        number,
      );
      steps.push(planned);
      number += planned.events.length;
      room -= planned.events.length;
    }
    if (!isRolledBack) left = room;
    yield { steps, isRolledBack };
  }
}

function shareOf({ events, writers }: Workload, writer: number): number {
  return Math.floor(events / writers) + (writer < events % writers ? 1 : 0);
}

function planStep(
  random: Random,
  workload: Workload,
  writer: number,
  count: number,
  first: number,
): PlannedStep {
  const isPlainInsert = random.next() < plainShare;
  const events = Array.from({ length: count }, (_, offset) =>
    planEvent(random, workload.aggregates, writer, first + offset, isPlainInsert),
  );
  // Squared: many short pauses and a few long ones, as commits are.
  return { events, isPlainInsert, pauseMs: Math.floor(pauseMaxMs * random.next() ** 2) };
}

function planEvent(
  random: Random,
  aggregates: number,
  writer: number,
  number: number,
  isPlainInsert: boolean,
): PlannedEvent {
  // Squared: a few hot aggregates that nearly all writers write to, and a long tail.
  const drawn = Math.floor(aggregates * random.next() ** 2);
  // A plain INSERT names no type, so it may only go to an aggregate whose events have none: all events
  // of one aggregate must go to one topic, or there would be no order to speak of.
  const index = isPlainInsert ? drawn - (drawn % 2) : drawn;
  const isTyped = index % 2 === 1;
  return {
    aggregateId: `order-${String(index).padStart(4, "0")}`,
    aggregateType: isTyped ? typedAggregate : null,
    eventType: isPlainInsert ? null : (["OrderPlaced", "OrderPaid", "OrderShipped"][random.below(3)] ?? null),
    headers:
      isPlainInsert || random.next() < 0.5 ? {} : { tenant: `tenant-${random.below(9)}`, note: "naïve ✓" },
    payload: {
      writer,
      number,
      amount: random.below(1_000_000) / 100,
      currency: "EUR",
      note: 'quotes " and \\, umlauts äöü, 雪, 🎈',
      padding: "·".repeat(random.below(60)),
    },
  };
}

/** The text a plain INSERT stores: spaced out, to show that stored bytes are published as they are. */
export function spacedJson(payload: unknown): string {
  return JSON.stringify(payload, null, 1).replace(/\n\s*/g, "  ");
}
