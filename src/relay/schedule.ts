/**
 * Dispatch in runs: a tick opens a run, the run publishes what was created before it, and then the
 * relay rests until the next tick.
 *
 *     resting ──tick──► open ──first look──► bounded ──all before the look is out──► resting
 *                        │ tick: skipped       │ tick: skipped
 *                        └──────── close ──────┴──────────────────────────────────► closed
 *
 * The first look sets the end of a run: what is created after it belongs to the next one. Without that
 * bound a run would never end where events keep coming. A transaction that was open at that look may
 * still commit events from before it, so the run waits for it, as the fence does. Whatever is away
 * (PostgreSQL, Kafka), the run waits as the relay always does and ends late.
 *
 * A tick that finds a run still open is skipped, and one for which the process could not be woken is
 * missed. Neither is made up for: the next run publishes what they would have. The first skip of a run
 * is announced at once and the others are counted, so that an outage of an hour is not 3,600 lines.
 */
import type { Micros } from "../event/position.ts";
import type { Clock } from "../foundation/clock.ts";
import type { Announcements } from "./announcements.ts";
import type { Dispatch } from "./dispatch.ts";

/** How often a resting relay looks whether shards came or went: others wait for what it has to hand back. */
const leaseLookMs = 250;

interface Run {
  readonly startedMs: number;
  readonly finished: () => void;
  /** Where each loop's part of the run ends, once it has looked. */
  readonly ends: Map<object, Micros>;
  /** Loops whose part is over. */
  readonly over: Set<object>;
  events: number;
  skipped: number;
}

export class Schedule {
  readonly #clock: Clock;
  readonly #announcements: Announcements;
  /** The loops that take part; a run is over when it is over for each of them. */
  readonly #loops = new Map<object, () => void>();
  #run: Run | undefined;
  #missed: Date[] = [];
  #isClosed = false;

  constructor(clock: Clock, announcements: Announcements) {
    this.#clock = clock;
    this.#announcements = announcements;
    announcements.subscribe((said) => {
      if (said.type === "batch-published" && this.#run !== undefined) this.#run.events += said.events;
    });
  }

  /** Whether a run is under way. */
  get isOpen(): boolean {
    return this.#run !== undefined;
  }

  /** What one loop goes by. */
  join(): Dispatch {
    const loop = {};
    this.#loops.set(loop, () => undefined);
    const isOpen = () => this.#run !== undefined && !this.#run.over.has(loop);
    return {
      get isOpen() {
        return isOpen();
      },
      rest: (signal) => (isOpen() ? Promise.resolve() : this.#rest(loop, signal)),
      endFor: (clock) => this.#endFor(loop, clock),
      // Before the first look only an idle outbox, or none of ours, is done: its fence is infinite.
      isDone: (fence) => isOpen() && fence >= (this.#run?.ends.get(loop) ?? Number.POSITIVE_INFINITY),
      end: () => this.#end(loop),
    };
  }

  /** A tick: opens a run and resolves at its end. With a run still open it is skipped, and resolves at once. */
  tick(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    if (this.#run !== undefined) {
      this.skip();
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const startedMs = this.#clock.monotonicMs();
      this.#run = {
        ...{ startedMs, finished: resolve, events: 0, skipped: 0 },
        ends: new Map(),
        over: new Set(),
      };
      this.#announcements.announce({ type: "dispatch-started" });
      for (const wake of this.#loops.values()) wake();
    });
  }

  /** A tick that came while a run was open. */
  skip(): void {
    const run = this.#run;
    if (run === undefined) return;
    run.skipped += 1;
    if (run.skipped > 1) return;
    const openForMs = Math.round(this.#clock.monotonicMs() - run.startedMs);
    this.#announcements.announce({ type: "dispatch-skipped", openForMs });
  }

  /** A tick for which this process was not awake. Those of one moment are announced together. */
  miss(dueAt: Date): void {
    this.#missed.push(dueAt);
    if (this.#missed.length === 1) void this.#tellMissed(dueAt);
  }

  async #tellMissed(first: Date): Promise<void> {
    await this.#clock.sleep(0);
    const missed = this.#missed;
    this.#missed = [];
    this.#announcements.announce({
      type: "dispatch-missed",
      ticks: missed.length,
      firstDueAt: first.toISOString(),
      lastDueAt: (missed.at(-1) ?? first).toISOString(),
    });
  }

  async #rest(loop: object, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const woken = new AbortController();
    const wake = () => woken.abort();
    this.#loops.set(loop, wake);
    signal.addEventListener("abort", wake, { once: true });
    await this.#clock.sleep(leaseLookMs, woken.signal);
    signal.removeEventListener("abort", wake);
  }

  #endFor(loop: object, clock: Micros): Micros {
    const run = this.#run;
    if (run === undefined || run.over.has(loop)) return Number.NEGATIVE_INFINITY;
    const end = run.ends.get(loop) ?? clock;
    run.ends.set(loop, end);
    return end;
  }

  #end(loop: object): void {
    const run = this.#run;
    if (run === undefined) return;
    run.over.add(loop);
    if (run.over.size < this.#loops.size) return;
    this.#run = undefined;
    const durationMs = Math.round(this.#clock.monotonicMs() - run.startedMs);
    const { events, skipped } = run;
    this.#announcements.announce({ type: "dispatch-finished", events, skipped, durationMs });
    run.finished();
  }

  /** No run any more: the relay is about to stop, and finishes what is in flight by itself. */
  close(): void {
    this.#isClosed = true;
    this.#run?.finished();
    this.#run = undefined;
  }
}
