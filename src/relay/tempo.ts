/**
 * When the next event is near, from what the last polls saw. Two things tell of it:
 *
 * - Somebody is writing and began a moment ago: the commit follows. The next poll comes at once, and so does the
 *   one after it. Half of the transactions of a steady load were seen that way, and a pause then was most of what
 *   their events waited for (p50 4.1 to 3.3 ms at 1,000 events/s in transactions of three round trips).
 * - In a stream of events the next one comes about as soon after the last as that came after the one before.
 *   Until then pauses need not grow; they would have grown to several milliseconds just when it is written.
 *
 * Where events are rarer, or a transaction takes its time, pauses are as ever: polling on would cost more than it brings.
 */

/** Polls at once, one after the other, behind one commit that is near. */
const hurriesMax = 2;
/** A stream has its events at most so far apart, on average. */
const gapMsMax = 20;
/** How much the last gap says about the next one. */
const weight = 0.2;

export class Tempo {
  #lastMs: number | undefined;
  #gapMs: number | undefined;
  #hurries = 0;

  /** Something was found, at this monotonic time. */
  found(nowMs: number): void {
    if (this.#lastMs !== undefined) {
      // One long silence says no more about the stream behind it than any other that is too long for one.
      const gapMs = Math.min(nowMs - this.#lastMs, 2 * gapMsMax);
      this.#gapMs = this.#gapMs === undefined ? gapMs : this.#gapMs + weight * (gapMs - this.#gapMs);
    }
    this.#lastMs = nowMs;
  }

  /** Whether by now the next one is to be expected: until twice the usual time has passed. */
  isNear(nowMs: number): boolean {
    if (this.#lastMs === undefined || this.#gapMs === undefined || this.#gapMs > gapMsMax) return false;
    return nowMs - this.#lastMs <= 2 * this.#gapMs;
  }

  /** After each poll, with whether it waits for a commit that is near: whether to poll again without a pause. */
  hurries(isAwaited: boolean): boolean {
    this.#hurries = isAwaited ? this.#hurries + 1 : 0;
    return isAwaited && this.#hurries <= hurriesMax;
  }
}
