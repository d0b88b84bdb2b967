/** Time that stands still until a test moves it. */
import type { Clock } from "../../src/foundation/clock.ts";

interface Sleeper {
  readonly wakeMs: number;
  readonly order: number;
  wake(): void;
}

export interface ManualClock extends Clock {
  /** How many sleeps are under way. */
  readonly sleeperCount: number;
  /**
   * Moves time on, waking sleepers in the order of their times, each at its own time; what a sleeper
   * does next, such as sleeping again within the same span, happens before time moves further.
   */
  advance(ms: number): Promise<void>;
  /** Resolves when at least so many sleep: the code under test has come to its wait. */
  asleep(count?: number): Promise<void>;
}

export function manualClock(startWallMs: number = Date.UTC(2026, 0, 1)): ManualClock {
  let nowMs = 0;
  let order = 0;
  const sleepers = new Set<Sleeper>();
  const watchers = new Set<() => void>();

  const next = (untilMs: number): Sleeper | undefined =>
    [...sleepers]
      .filter(({ wakeMs }) => wakeMs <= untilMs)
      .sort((a, b) => a.wakeMs - b.wakeMs || a.order - b.order)[0];

  return {
    monotonicMs: () => nowMs,
    wallMs: () => startWallMs + nowMs,
    get sleeperCount() {
      return sleepers.size;
    },
    sleep(ms, signal) {
      if (signal?.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const sleeper: Sleeper = {
          wakeMs: nowMs + Math.max(0, ms),
          order: order++,
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener("abort", sleeper.wake);
            resolve();
          },
        };
        signal?.addEventListener("abort", sleeper.wake, { once: true });
        sleepers.add(sleeper);
        for (const watch of watchers) watch();
      });
    },
    alarm(ms, ring) {
      const sleeper: Sleeper = {
        wakeMs: nowMs + Math.max(0, ms),
        order: order++,
        wake: () => {
          sleepers.delete(sleeper);
          ring();
        },
      };
      sleepers.add(sleeper);
      for (const watch of watchers) watch();
      return () => sleepers.delete(sleeper);
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      for (let sleeper = next(untilMs); sleeper !== undefined; sleeper = next(untilMs)) {
        nowMs = Math.max(nowMs, sleeper.wakeMs);
        sleeper.wake();
        await settled();
      }
      nowMs = untilMs;
      await settled();
    },
    asleep(count = 1) {
      return new Promise((resolve) => {
        const watch = () => {
          if (sleepers.size < count) return;
          watchers.delete(watch);
          resolve();
        };
        watchers.add(watch);
        watch();
      });
    },
  };
}

/** Lets everything run that waits for nothing but promises. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
