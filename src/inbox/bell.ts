import type { Clock } from "../foundation/clock.ts";

/** Wakes whoever waits for something to have changed; they look for themselves what it was. */
export class Bell {
  readonly #clock: Clock;
  #wakeUp: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    this.#wakeUp?.abort();
    this.#wakeUp = undefined;
  }

  /** Resolves at the next ring, or after `ms`. */
  heard(ms: number): Promise<void> {
    this.#wakeUp ??= new AbortController();
    return this.#clock.sleep(ms, this.#wakeUp.signal);
  }
}
