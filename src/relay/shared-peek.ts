/** The cheap question of an idle relay, asked once for all of its loops. */
import type { Clock } from "../foundation/clock.ts";
import type { Outbox } from "../outbox/outbox.ts";

export class SharedPeek {
  readonly #outbox: Outbox;
  readonly #clock: Clock;
  readonly #freshMs: number;
  #answer: Promise<string | null> | undefined;
  #untilMs = 0;

  /** An answer is good for so long; 0 asks every time. */
  constructor(outbox: Outbox, clock: Clock, freshMs: number) {
    this.#outbox = outbox;
    this.#clock = clock;
    this.#freshMs = freshMs;
  }

  /** A mark that is a little old is as good: what was written since changes the next one. */
  ask(): Promise<string | null> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#answer !== undefined && nowMs < this.#untilMs) return this.#answer;
    this.#untilMs = nowMs + this.#freshMs;
    const answer = this.#outbox.peek();
    this.#answer = answer;
    answer.catch(() => {
      if (this.#answer === answer) this.#answer = undefined;
    });
    return answer;
  }
}
