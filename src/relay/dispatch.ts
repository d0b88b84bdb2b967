/**
 * When the loop may claim, as a port: always (`continuously`), or in runs that something else starts
 * (`schedule.ts`). Whatever it answers, the loop goes on following its leases and finishes what is in
 * flight; only sweeping, retrying and claiming wait.
 */
import type { Micros } from "../event/position.ts";

export interface Dispatch {
  /** Whether the loop may claim in this round. */
  readonly isOpen: boolean;
  /** While it may not: resolves when it may, when the signal fires, or when it is time to look at the leases. */
  rest(signal: AbortSignal): Promise<void>;
  /** Given the database's clock at a look: events created at or after the answer are left for later. */
  endFor(clock: Micros): Micros;
  /** Whether it would be over now that nothing created before `fence` is left to claim. */
  isDone(fence: Micros): boolean;
  /** It is done, and nothing is in flight any more. */
  end(): void;
}

export const continuously: Dispatch = {
  isOpen: true,
  rest: async () => undefined,
  endFor: () => Number.POSITIVE_INFINITY,
  isDone: () => false,
  end: () => undefined,
};
