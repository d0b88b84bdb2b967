/**
 * Into which spans of time a sweep divides what lies behind the cursors: pure.
 *
 * A statement that looks there walks over the entries of deleted rows until vacuum has taken them, and no limit
 * counts those: with an old snapshot held open, or in a minute of a large backlog, there are hundreds of thousands,
 * and the statement would take seconds (measured: 600,000 held ones, 1.2 s, in which nothing was removed). A span
 * of time can be bounded. How much a span costs shows when it is looked at: one that took long is
 * divided for the next sweep, neighbours that took next to nothing become one.
 *
 *     −∞ ├───────────────┼─────┼─────┼──┼──┼─────┤ cursors
 *           nothing there    20 ms each
 */
import type { Micros } from "../event/position.ts";

export interface SweepWindow {
  /** −Infinity: from the beginning. */
  readonly from: Micros;
  /** Infinity: as far as the cursors are. */
  readonly until: Micros;
}

/** Rows that one statement looks at, dead or not, as far as this relay knows of them. */
export const windowRows = 20_000;
/** A window that took twice as long is divided; two that took less than a half of it together become one. */
const windowMs = 20;
const partsMax = 64;
const boundsMax = 4_096;
/** 1970: whoever says an older created_at means something else by it, and instants before it soon lose digits. */
const oldestBound: Micros = 0;
/** How much is split off from the oldest window at first, which has no beginning to divide it by; then twice that. */
const oldestMicros = 60_000_000;

export class SweepWindows {
  /** Where one window ends and the next one begins, rising. */
  #bounds: Micros[] = [];
  #rowsSince = 0;
  #latest = Number.NEGATIVE_INFINITY;
  /** What a window cost that may become one with the next. */
  #carriedMs = Number.POSITIVE_INFINITY;

  /** So many rows were claimed, the last of them of this instant: they will be dead soon. */
  note(rows: number, at: Micros): void {
    if (at > this.#latest) this.#latest = at;
    this.#rowsSince += rows;
    if (this.#rowsSince < windowRows) return;
    this.#rowsSince = 0;
    if (this.#latest > (this.#bounds.at(-1) ?? oldestBound)) this.#bounds.push(this.#latest);
    if (this.#bounds.length > boundsMax) this.#bounds = this.#bounds.filter((_, place) => place % 2 === 1);
  }

  /** All of time, the oldest first: what is found is published in order. */
  list(): SweepWindow[] {
    this.#carriedMs = Number.POSITIVE_INFINITY;
    const ends = [...this.#bounds, Number.POSITIVE_INFINITY];
    return ends.map((until, place) => ({ from: ends[place - 1] ?? Number.NEGATIVE_INFINITY, until }));
  }

  /** What looking at one of the listed windows took, in their order. */
  judge({ from, until }: SweepWindow, tookMs: number): void {
    const together = this.#carriedMs + tookMs;
    if (together < windowMs / 2) {
      this.#bounds = this.#bounds.filter((bound) => bound !== from);
      this.#carriedMs = together;
      return;
    }
    this.#carriedMs = tookMs;
    if (tookMs > 2 * windowMs) this.#divide(from, until, Math.min(partsMax, Math.ceil(tookMs / windowMs)));
  }

  #divide(from: Micros, until: Micros, parts: number): void {
    const end = Number.isFinite(until) ? until : this.#latest;
    if (end <= Math.max(from, oldestBound)) return;
    const added = Number.isFinite(from)
      ? Array.from({ length: parts - 1 }, (_, place) => from + ((end - from) * (place + 1)) / parts)
      : [Math.max(oldestBound, end - Math.max(oldestMicros, 2 * (this.#latest - end)))];
    const bounds = new Set([...this.#bounds, ...added.map(Math.round), ...(end === until ? [] : [end])]);
    this.#bounds = [...bounds].sort((a, b) => a - b);
  }
}
