/**
 * The fence: the instant below which no row can appear any more. Pure; a fold over looks.
 *
 * `created_at` is stamped before the commit, so a row with a lower position can become visible after
 * a higher one was published. The fence holds a claim below everything that an open transaction may
 * still bring to light:
 *
 *     look 1 ── no writer ──► fence = clock of look 1
 *     look 2 ── writer W  ──► W took its lock after look 1, so its rows are not older than look 1:
 *                             fence = clock of look 1, for as long as W is open
 *     look 3 ── W is gone ──► its commit is visible to any statement that begins now:
 *                             fence = clock of look 3
 *
 * This needs three things, each of which was seen to lose or reorder events when missing:
 * - the clock of a look is taken before the locks are read (statement_timestamp, not clock_timestamp);
 * - the claim is a later statement than the look, with a younger snapshot;
 * - a writer locks the table before its `created_at` is evaluated, which PostgreSQL does by itself.
 *
 * A writer that was open before our first look has no such bound. The start of its transaction will
 * do where this role may see it; otherwise it holds everything. The same goes for a transaction that
 * first shows up as prepared, because some versions give it a new virtual id when it is prepared.
 *
 * A writer that stays open is passed after `holdMs` (policy `bounded`): what it commits then is late,
 * and found by the sweep. The policy `strict` is `holdMs = Infinity`.
 */
import type { Micros } from "../event/position.ts";
import type { Look, OpenWriter } from "./outbox.ts";

export interface HeldWriter extends OpenWriter {
  /** No row of this writer is older than this; -Infinity when nothing is known. */
  readonly bound: Micros;
  /** Clock of the first look that showed it. */
  readonly seenSince: Micros;
  readonly isPassed: boolean;
}

export interface FenceState {
  /** Clock of the last look; undefined before the first one. */
  readonly lastLook: Micros | undefined;
  readonly writers: ReadonlyMap<string, HeldWriter>;
}

export interface FenceReading {
  readonly state: FenceState;
  /** Claim only what was created before this instant. */
  readonly fence: Micros;
  /** The writer that holds the fence lowest; undefined when nobody holds it. */
  readonly holder: HeldWriter | undefined;
  /** Writers that this very look gave up waiting for. */
  readonly passed: readonly HeldWriter[];
}

export const unseen: FenceState = { lastLook: undefined, writers: new Map() };

/** Folds one more look in. Looks must come in the order in which they were taken. */
export function readFence(state: FenceState, look: Look, holdMs: number): FenceReading {
  const writers = new Map<string, HeldWriter>();
  const passed: HeldWriter[] = [];
  let fence = look.clock;
  let holder: HeldWriter | undefined;
  for (const writer of look.writers) {
    const held = hold(state, writer, look.clock, holdMs);
    writers.set(writer.id, held);
    if (held.isPassed) {
      if (state.writers.get(writer.id)?.isPassed !== true) passed.push(held);
    } else if (held.bound < fence) {
      fence = held.bound;
      holder = held;
    }
  }
  return { state: { lastLook: look.clock, writers }, fence, holder, passed };
}

function hold(state: FenceState, writer: OpenWriter, clock: Micros, holdMs: number): HeldWriter {
  const known = state.writers.get(writer.id);
  if (known !== undefined) {
    return { ...known, ...writer, isPassed: known.isPassed || clock - known.seenSince > holdMs * 1000 };
  }
  const isUnbounded = writer.pid === null || state.lastLook === undefined;
  return {
    ...writer,
    // Should the database's clock have stepped back since the last look, the lower one is the bound.
    bound: isUnbounded ? Number.NEGATIVE_INFINITY : Math.min(state.lastLook ?? clock, clock),
    seenSince: clock,
    isPassed: false,
  };
}

/** Gives writers that had no bound the start of their transactions, where it could be learned. */
export function boundWriters(state: FenceState, startOf: ReadonlyMap<number, Micros>): FenceState {
  const writers = new Map(state.writers);
  for (const [id, writer] of writers) {
    const start = writer.pid === null ? undefined : startOf.get(writer.pid);
    if (start !== undefined && writer.bound === Number.NEGATIVE_INFINITY)
      writers.set(id, { ...writer, bound: start });
  }
  return { ...state, writers };
}
