/** The cheap questions of an idle relay, asked once for all of its loops. */
import type { Clock } from "../foundation/clock.ts";
import type { Outbox } from "../outbox/outbox.ts";

/**
 * So long a statement waits at the server, at most: it holds a snapshot meanwhile. What is not told by the mark waits
 * as long for an idle relay: leases to take up or to hand back, a sweep that was asked for.
 */
const vigilMs = 2_000;

export interface PeekTiming {
  readonly pollMaxMs: number;
  /** Where an idle relay looks for new events: in one statement at the server, or asking each time. */
  readonly idlePoll: "server" | "client";
}

interface Vigil {
  readonly mark: string;
  readonly answer: Promise<string | null>;
}

export class SharedPeek {
  readonly #outbox: Outbox;
  readonly #clock: Clock;
  readonly #timing: PeekTiming;
  readonly #freshMs: number;
  #answer: Promise<string | null> | undefined;
  #untilMs = 0;
  #vigil: Vigil | undefined;

  /** An answer is good for `freshMs`; 0 asks every time. */
  constructor(outbox: Outbox, clock: Clock, timing: PeekTiming, freshMs: number) {
    this.#outbox = outbox;
    this.#clock = clock;
    this.#timing = timing;
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

  /** Waits for another mark, not very long, and answers the one that is there then. Null: it cannot be waited for. */
  async change(mark: string, signal: AbortSignal): Promise<string | null> {
    const { pollMaxMs, idlePoll } = this.#timing;
    if (signal.aborted) return mark;
    if (idlePoll === "client" || pollMaxMs > vigilMs / 2) return null;
    this.#vigil ??= this.#begin(mark, pollMaxMs);
    const { answer } = this.#vigil;
    // Of two different marks one is outdated; whichever it is, there is something to look for.
    if (this.#vigil.mark !== mark) return this.#vigil.mark;
    return unlessStopped(answer, mark, signal);
  }

  #begin(mark: string, everyMs: number): Vigil {
    const answer = this.#outbox.awaitChange(mark, everyMs, vigilMs).finally(() => {
      this.#vigil = undefined;
    });
    // Whoever waits hears of it; after a stop nobody does.
    answer.catch(() => undefined);
    return { mark, answer };
  }
}

/** The statement that waits cannot be called back; it is left to itself, and ends soon. */
function unlessStopped(
  answer: Promise<string | null>,
  mark: string,
  signal: AbortSignal,
): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const stop = () => resolve(mark);
    signal.addEventListener("abort", stop, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
