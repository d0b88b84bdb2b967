/**
 * One outage of PostgreSQL or Kafka: said when it begins and when it ends, silent in between, with
 * growing waits. A log line at every attempt would bury the one that matters.
 */
import type { Clock } from "../foundation/clock.ts";
import type { Announcements } from "./announcements.ts";
import { backoffMs } from "./pace.ts";

export interface OutageTiming {
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
}

export interface OutageParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly announcements: Announcements;
  /** Told of each attempt: whoever waits is alive. */
  readonly beat?: () => void;
}

export class Outage {
  readonly #of: "outbox" | "broker";
  readonly #parts: OutageParts;
  readonly #timing: OutageTiming;
  #sinceMs: number | undefined;
  #attempts = 0;

  constructor(of: "outbox" | "broker", parts: OutageParts, timing: OutageTiming) {
    this.#of = of;
    this.#parts = parts;
    this.#timing = timing;
  }

  /** Notes a failure and waits before the next attempt, or until the signal fires. */
  async wait(message: string, signal: AbortSignal): Promise<void> {
    const { clock, random, announcements, beat } = this.#parts;
    beat?.();
    if (this.#sinceMs === undefined) {
      this.#sinceMs = clock.monotonicMs();
      announcements.announce({ type: `${this.#of}-lost`, message });
    }
    this.#attempts += 1;
    const { backoffMinMs, backoffMaxMs } = this.#timing;
    await clock.sleep(backoffMs(this.#attempts, backoffMinMs, backoffMaxMs, random), signal);
  }

  /** Notes a success. */
  end(): void {
    if (this.#sinceMs === undefined) return;
    const outageMs = Math.round(this.#parts.clock.monotonicMs() - this.#sinceMs);
    this.#sinceMs = undefined;
    this.#attempts = 0;
    this.#parts.announcements.announce({ type: `${this.#of}-back`, outageMs });
  }
}
