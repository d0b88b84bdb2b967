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
 * - the clock of a look is taken before anything else is read (transaction_timestamp, not clock_timestamp);
 * - the claim is a later statement than the look, with a younger snapshot;
 * - a writer locks the table before its `created_at` is evaluated, which PostgreSQL does by itself.
 *
 * Where writers announce their slots (`migrate --narrow-fence`), the same holds for each slot by itself: a
 * writer announces a slot before `created_at` is stamped, so that its rows there are not older than the last
 * look that did not show the announcement. Only what it has announced is held back. A writer that has
 * announced nothing holds nothing, as long as nobody can write without announcing: a look that is not sure of
 * it says that each writer may write anywhere.
 *
 * Where this role may see when a writer's transaction began, no row of it is older than that: with short
 * transactions the fence is then behind the clock by their length, and not by the time between two looks.
 *
 * A writer that was open before our first look has no other bound than its start; where that is not to be
 * seen, it holds everything. So does a transaction that first shows up as prepared, because some versions
 * give it a new virtual id when it is prepared.
 *
 * A writer that stays open is passed after `holdMs` (policy `bounded`): what it commits then is late,
 * and found by the sweep. The policy `strict` is `holdMs = Infinity`.
 */
import type { Micros } from "../event/position.ts";
import { microsOfIso } from "../event/position.ts";
import type { Claim, Look, OpenWriter } from "./outbox.ts";

/** Publish only what was created before it: an instant, and a lower one for each slot that is held back. */
export interface Fence {
  readonly open: Micros;
  /** By slot; all of them below `open`. */
  readonly held: ReadonlyMap<number, Micros>;
}

/** A fence that nobody holds. */
export const fenceAt = (open: Micros): Fence => ({ open, held: new Map() });

export function fenceOf({ open, held }: Fence, slot: number): Micros {
  return held.get(slot) ?? open;
}

export function lowestOf({ open, held }: Fence): Micros {
  let lowest = open;
  for (const instant of held.values()) if (instant < lowest) lowest = instant;
  return lowest;
}

/** The same fence, and nowhere above `end`. */
export function capFence({ open, held }: Fence, end: Micros): Fence {
  if (end >= open) return { open, held };
  return { open: end, held: new Map([...held].filter(([, instant]) => instant < end)) };
}

/**
 * What a claim that knew no fence would have brought up to `open`. Undefined where that cannot be told: its
 * limits ended it, and it is not known what stands below in the shards behind.
 */
export function belowOpen(claim: Claim, { open }: Fence): Claim | undefined {
  const events = claim.events.filter(({ createdAt }) => !(microsOfIso(createdAt) >= open));
  if (events.length === claim.events.length) return claim;
  return claim.isCut ? undefined : { ...claim, events };
}

/** A slot, or every one of them. */
type Place = number | "everywhere";

export interface HeldWriter extends OpenWriter {
  /** Where it may bring rows to light, and how old at most; -Infinity when nothing is known. */
  readonly bounds: ReadonlyMap<Place, Micros>;
  /** Clock of the first look that showed it holding anything. */
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
  readonly fence: Fence;
  /** The writer that holds the fence lowest; undefined when nobody holds it. */
  readonly holder: HeldWriter | undefined;
  /** Writers that this very look gave up waiting for. */
  readonly passed: readonly HeldWriter[];
  /** Nobody is writing, but for writers that were passed. */
  readonly isQuiet: boolean;
}

export const unseen: FenceState = { lastLook: undefined, writers: new Map() };

/** Folds one more look in. Looks must come in the order in which they were taken. */
export function readFence(state: FenceState, look: Look, holdMs: number): FenceReading {
  const writers = new Map<string, HeldWriter>();
  const passed: HeldWriter[] = [];
  const waitedFor: HeldWriter[] = [];
  for (const writer of look.writers) {
    const held = hold(state, writer, look, holdMs);
    writers.set(writer.id, held);
    if (!held.isPassed) waitedFor.push(held);
    else if (state.writers.get(writer.id)?.isPassed !== true) passed.push(held);
  }
  return {
    state: { lastLook: look.clock, writers },
    ...heldBack(look.clock, waitedFor),
    passed,
    isQuiet: waitedFor.length === 0,
  };
}

function heldBack(clock: Micros, writers: readonly HeldWriter[]): Pick<FenceReading, "fence" | "holder"> {
  const lowest = new Map<Place, Micros>([["everywhere", clock]]);
  let holder: HeldWriter | undefined;
  let holderBound = clock;
  for (const writer of writers) {
    for (const [place, bound] of writer.bounds) {
      lowest.set(place, Math.min(bound, lowest.get(place) ?? bound));
      if (bound >= holderBound) continue;
      holder = writer;
      holderBound = bound;
    }
  }
  const open = lowest.get("everywhere") as Micros;
  const held = new Map<number, Micros>();
  for (const [place, bound] of lowest) if (place !== "everywhere" && bound < open) held.set(place, bound);
  return { fence: { open, held }, holder };
}

function hold(state: FenceState, writer: OpenWriter, look: Look, holdMs: number): HeldWriter {
  const { clock } = look;
  const known = state.writers.get(writer.id);
  const places: readonly Place[] = writer.slots ?? ["everywhere"];
  const isUnbounded = known === undefined && (writer.pid === null || state.lastLook === undefined);
  // Should the database's clock have stepped back since the last look, the lower one is the bound.
  const lastLook = isUnbounded ? Number.NEGATIVE_INFINITY : Math.min(state.lastLook ?? clock, clock);
  const start = Math.min(startOf(writer, known, look), clock);
  const bounds = new Map(
    places.map((place) => [place, Math.max(start, knownBound(known, place) ?? lastLook)]),
  );
  const seenSince = known === undefined || known.bounds.size === 0 ? clock : known.seenSince;
  const isOverdue = bounds.size > 0 && clock - seenSince > holdMs * 1000;
  return { ...writer, bounds, seenSince, isPassed: known?.isPassed === true || isOverdue };
}

/**
 * No row of a transaction is older than its start. The start is that of its backend, read after the locks: the
 * backend may be in its next transaction by then. Where nothing can be prepared that does no harm, because
 * the one before has ended and is visible to the claim; else only a start counts that was read while the
 * transaction was still to be seen with its backend at a later look.
 */
function startOf(writer: OpenWriter, known: HeldWriter | undefined, { isTwoPhase }: Look): Micros {
  const startedAt = isTwoPhase ? known?.startedAt : writer.startedAt;
  return writer.pid === null ? Number.NEGATIVE_INFINITY : (startedAt ?? Number.NEGATIVE_INFINITY);
}

/** What earlier looks say of a place; of a slot also what they said while nothing was announced, and the reverse. */
function knownBound(known: HeldWriter | undefined, place: Place): Micros | undefined {
  if (known === undefined || known.bounds.size === 0) return undefined;
  if (place === "everywhere") return Math.min(...known.bounds.values());
  return known.bounds.get(place) ?? known.bounds.get("everywhere");
}
