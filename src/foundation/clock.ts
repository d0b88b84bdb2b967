/**
 * Time, as a port. This file is the only home of `setTimeout` and `Date.now`: everything that waits
 * asks a Clock, so that a test can hold time still and move it by hand.
 */
export interface Clock {
  /** Milliseconds since some fixed moment; only differences mean anything, and they never shrink. */
  monotonicMs(): number;
  /** Milliseconds since 1970, as this machine believes. Never used to decide about order or leases. */
  wallMs(): number;
  /** Resolves after `ms`, or at once when the signal fires. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /**
   * Calls `ring` after `ms`, unless the function that it answers was called before; calling that later does nothing.
   * For what is asked hundreds of times a second and nearly never rings: there is no signal to make for it.
   */
  alarm(ms: number, ring: () => void): () => void;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep(ms, signal) {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener("abort", done, { once: true });
    });
  },
  alarm(ms, ring) {
    const timer = setTimeout(ring, ms);
    return () => clearTimeout(timer);
  },
};
