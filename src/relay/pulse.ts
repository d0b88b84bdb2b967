/**
 * The pulse of one loop: when it last began a round, or an attempt at something that is away. A loop
 * that waits for Kafka for a week has a pulse; one that waits for a promise nobody will settle has none.
 */
import type { Clock } from "../foundation/clock.ts";

export class Pulse {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #lastMs: number | undefined;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  beat = (): void => {
    this.#lastMs = this.#clock.monotonicMs();
  };

  /** Milliseconds since the last beat; null before the first one. */
  get ageMs(): number | null {
    return this.#lastMs === undefined ? null : this.#clock.monotonicMs() - this.#lastMs;
  }
}
