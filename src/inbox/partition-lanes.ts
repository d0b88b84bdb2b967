/**
 * The work of one partition for as long as it is assigned: one lane an aggregate, in order; the lanes
 * side by side.
 *
 *              a slot is free            done
 *     queued ──────────────────► running ─────► the lane's next event is queued, or the lane ends
 *       ▲                           │ failed
 *       └──── the pause is over ── waiting
 *
 * Narrowed, only what lies below an event that has begun already begins: then nothing done lies above the
 * low-water mark, and nothing comes again. Closed, nothing more begins. What runs goes on to its end in
 * both, and still counts as done.
 */
import type { Clock } from "../foundation/clock.ts";
import { OutriderError } from "../foundation/errors.ts";
import { type ConsumedEvent, type Place, readEvent } from "./consumed-event.ts";
import type { ReceivedMessage } from "./consumer-shape.ts";
import type { LedgerEntry, OffsetLedger } from "./offset-ledger.ts";
import type { PartitionHistory } from "./partition-history.ts";
import type { WorkSlots } from "./work-slots.ts";

export interface Task {
  readonly message: ReceivedMessage;
  /** The error of a record that is no event: it waits in its lane like any other. */
  readonly event: ConsumedEvent | OutriderError;
  readonly entry: LedgerEntry;
  readonly bytes: number;
  /** All failures, and those that say something about the event. */
  failures: number;
  attempts: number;
}

/** Done, or to be tried again after so many milliseconds. */
export type Outcome = "done" | { readonly retryInMs: number };

export interface LaneLimits {
  readonly eventsAheadMax: number;
  readonly bytesAheadMax: number;
}

export interface LaneParts {
  readonly clock: Clock;
  readonly slots: WorkSlots;
  readonly limits: LaneLimits;
  /** Works an event once. Never rejects. */
  work(place: Place, task: Task, signal: AbortSignal): Promise<Outcome>;
  /** Which events wait for one another: those with the same answer. */
  laneOf(message: ReceivedMessage): string;
  makeLedger(): OffsetLedger;
}

interface Lane {
  readonly key: string;
  readonly tasks: Task[];
  state: "queued" | "running" | "waiting";
  /** When its first event became its first. */
  movedMs: number;
}

/** By its key, which is the aggregate; a record without one waits for nobody and holds nobody up. */
export function laneOfKey({ key, offset }: ReceivedMessage): string {
  return key === null ? `offset ${offset}` : `key ${key.toString()}`;
}

export class PartitionLanes {
  readonly place: Place;
  readonly history: PartitionHistory;
  /** Set by whoever paused it: nothing more is fetched until there is room again. */
  isPaused = false;
  readonly #parts: LaneParts;
  readonly #ledger: OffsetLedger;
  readonly #lanes = new Map<string, Lane>();
  readonly #closed = new AbortController();
  readonly #lost = new AbortController();
  #highestBegun = -1n;
  #isNarrow = false;
  #bytesAhead = 0;
  #runnableCount = 0;

  constructor(place: Place, history: PartitionHistory, parts: LaneParts) {
    this.place = place;
    this.history = history;
    this.#parts = parts;
    this.#ledger = parts.makeLedger();
  }

  get ledger(): OffsetLedger {
    return this.#ledger;
  }

  /** How much of the room is taken, from 0 to 1 and, for one event larger than all of it, beyond. */
  get fullness(): number {
    const { eventsAheadMax, bytesAheadMax } = this.#parts.limits;
    return Math.max(this.#ledger.aheadCount / eventsAheadMax, this.#bytesAhead / bytesAheadMax);
  }

  /** Whether anything is on its way that does not wait for a retry. */
  get isBusy(): boolean {
    return this.#runnableCount > 0;
  }

  /** Whether anything is on its way in a lane that has moved within the last so many milliseconds. */
  isMoving(withinMs: number): boolean {
    const sinceMs = this.#parts.clock.monotonicMs() - withinMs;
    for (const { state, movedMs } of this.#lanes.values()) {
      if (state !== "waiting" && movedMs > sinceMs) return true;
    }
    return false;
  }

  /** Whether the low-water mark stands at an event that failed. */
  get isBlocked(): boolean {
    const low = this.#ledger.lowWater;
    for (const { state, tasks } of this.#lanes.values()) {
      if (state === "waiting" && tasks[0]?.entry.offset === low) return true;
    }
    return false;
  }

  accept(message: ReceivedMessage): void {
    const entry = this.#ledger.accept(BigInt(message.offset));
    const event = readEvent(this.place, message);
    const bytes = (message.value?.length ?? 0) + (message.key?.length ?? 0);
    const task: Task = { message, event, entry, bytes, failures: 0, attempts: 0 };
    if (this.#wasDone(task)) {
      this.#noteBegun(entry);
      this.#ledger.finish(entry);
      return;
    }
    this.#bytesAhead += bytes;
    const key = this.#parts.laneOf(message);
    const lane = this.#lanes.get(key);
    if (lane === undefined) {
      const movedMs = this.#parts.clock.monotonicMs();
      const begun: Lane = { key, tasks: [task], state: "queued", movedMs };
      this.#lanes.set(key, begun);
      this.#runnableCount += 1;
      this.#queue(begun);
    } else {
      lane.tasks.push(task);
      if (lane.state !== "waiting") this.#runnableCount += 1;
    }
  }

  narrow(): void {
    this.#isNarrow = true;
  }

  /** Whether all is done that narrowed lanes can still do. */
  get isTidy(): boolean {
    for (const { state, tasks } of this.#lanes.values()) {
      if (state !== "waiting" && tasks[0] !== undefined && this.#mayBegin(tasks[0])) return false;
    }
    return true;
  }

  /** Nothing more begins. */
  close(): void {
    this.#closed.abort();
  }

  /** Tells the handlers that still run that their time is over. */
  abortWork(): void {
    this.#lost.abort();
  }

  #queue(lane: Lane): void {
    if (this.#closed.signal.aborted) return;
    lane.state = "queued";
    // Of an assignment before this one: the same aggregate must not run twice at once.
    const before = this.history.running.get(lane.key);
    if (before === undefined) this.#parts.slots.add(() => this.#begin(lane));
    else void before.then(() => this.#queue(lane));
  }

  async #begin(lane: Lane): Promise<void> {
    const task = lane.tasks[0];
    if (task === undefined || !this.#mayBegin(task)) return;
    const before = this.history.running.get(lane.key);
    if (before !== undefined) return this.#queue(lane);
    lane.state = "running";
    this.#noteBegun(task.entry);
    const run = this.#run(lane, task);
    const ended = run.then(() => undefined);
    this.history.running.set(lane.key, ended);
    const outcome = await run;
    if (this.history.running.get(lane.key) === ended) this.history.running.delete(lane.key);
    if (outcome !== "done") this.#wait(lane, outcome.retryInMs);
    else if (lane.tasks.length === 0) this.#lanes.delete(lane.key);
    else this.#queue(lane);
  }

  /** One attempt at the lane's first event. */
  async #run(lane: Lane, task: Task): Promise<Outcome> {
    const { work } = this.#parts;
    const outcome = this.#wasDone(task) ? "done" : await work(this.place, task, this.#lost.signal);
    if (outcome === "done") this.#finish(lane, task);
    return outcome;
  }

  #finish(lane: Lane, task: Task): void {
    lane.tasks.shift();
    lane.movedMs = this.#parts.clock.monotonicMs();
    this.#runnableCount -= 1;
    this.#bytesAhead -= task.bytes;
    this.#ledger.finish(task.entry);
    if (!(task.event instanceof OutriderError)) {
      this.history.remember(task.message.offset, task.event.eventId);
    }
  }

  #wait(lane: Lane, ms: number): void {
    lane.state = "waiting";
    this.#runnableCount -= lane.tasks.length;
    void this.#parts.clock.sleep(ms, this.#closed.signal).then(() => {
      if (this.#closed.signal.aborted) return;
      lane.movedMs = this.#parts.clock.monotonicMs();
      this.#runnableCount += lane.tasks.length;
      this.#queue(lane);
    });
  }

  #noteBegun({ offset }: LedgerEntry): void {
    if (offset > this.#highestBegun) this.#highestBegun = offset;
  }

  #mayBegin({ entry }: Task): boolean {
    if (this.#closed.signal.aborted) return false;
    return !this.#isNarrow || entry.offset < this.#highestBegun;
  }

  #wasDone({ event, message }: Task): boolean {
    return !(event instanceof OutriderError) && this.history.wasDone(message.offset, event.eventId);
  }
}
