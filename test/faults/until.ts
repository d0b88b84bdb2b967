/** Waiting for something that only asking can tell. */
import { systemClock } from "../../src/foundation/clock.ts";

const askAgainMs = 40;

/** Resolves with the first answer that is one; rejects, saying what it waited for, when none came in time. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  ask: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const endMs = systemClock.monotonicMs() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (systemClock.monotonicMs() > endMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await systemClock.sleep(askAgainMs);
  }
}
