/**
 * Time that only moves when the simulation moves it. Everything that happens is a step with a moment;
 * steps run one after the other in the order of their moments, and after each step that entered a
 * process everything runs that waits for nothing but promises. So a run is one thread of events, and
 * the same seed gives the same run.
 */
interface Step {
  readonly atUs: number;
  readonly order: number;
  readonly run: () => void;
}

const isBefore = (a: Step, b: Step): boolean => (a.atUs === b.atUs ? a.order < b.order : a.atUs < b.atUs);

export class VirtualTime {
  /** Microseconds since the beginning of the run. */
  nowUs = 0;
  /** How many steps were run. */
  stepCount = 0;
  readonly #heap: Step[] = [];
  #order = 0;
  #isTouched = false;

  after(us: number, run: () => void): void {
    this.#push({ atUs: this.nowUs + Math.max(0, Math.round(us)), order: this.#order, run });
    this.#order += 1;
  }

  /** Says that code under test was woken: it goes on until it waits again before time moves. */
  touch(): void {
    this.#isTouched = true;
  }

  /** Runs step by step until the condition holds. False when the deadline came first, or nothing was left. */
  async runUntil(isDone: () => boolean, deadlineUs: number): Promise<boolean> {
    while (!isDone()) {
      const next = this.#heap[0];
      if (next === undefined || next.atUs > deadlineUs) return false;
      this.#pop();
      this.nowUs = next.atUs;
      this.stepCount += 1;
      next.run();
      if (this.#isTouched) {
        this.#isTouched = false;
        await settled();
      }
    }
    return true;
  }

  #push(step: Step): void {
    const heap = this.#heap;
    let at = heap.push(step) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || isBefore(parent, step)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = step;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    heap[at] = last;
  }
}

/** Everything that waits for promises alone has run before this resolves; no time passes. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
