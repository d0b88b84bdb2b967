/**
 * One contract for everything that runs. Both calls are idempotent; `stop` before `start` is
 * allowed and makes a later `start` a no-op; `stop` resolves when nothing of it runs any more.
 */
export interface Lifecycle {
  start(): Promise<void>;
  stop(): Promise<void>;
}
