/**
 * Calls to kafkajs, each with an end. kafkajs cannot abandon anything: a call that is given up may still
 * be carried out behind our back. So nothing is ever left waiting; what does not settle in time by itself
 * has its sockets severed, and what does not settle even then ends the process.
 */
import type { Clock } from "../foundation/clock.ts";
import { OutriderError } from "../foundation/errors.ts";
import type { Sockets } from "./kafka-sockets.ts";

export type Settled<T> = { readonly value: T } | { readonly trouble: unknown };

export interface CallTiming {
  /** So long may the requests of one call take together. */
  readonly requestTimeoutMs: number;
  readonly connectionTimeoutMs: number;
}

/** Room for what kafkajs does around a request: its timers tick every 100 ms. */
const marginMs = 1_000;

export class KafkaCalls {
  readonly #sockets: Sockets;
  readonly #timing: CallTiming;
  readonly #clock: Clock;

  constructor(sockets: Sockets, timing: CallTiming, clock: Clock) {
    this.#sockets = sockets;
    this.#timing = timing;
    this.#clock = clock;
  }

  /** Waits until `work` has settled, whatever the outcome. Throws only PUBLISH_STUCK. */
  async settle<T>(what: string, work: Promise<T>): Promise<Settled<T>> {
    const { requestTimeoutMs, connectionTimeoutMs } = this.#timing;
    const settled: Promise<Settled<T>> = work.then(
      (value) => ({ value }),
      (trouble: unknown) => ({ trouble }),
    );
    const inTime = await this.#within(settled, requestTimeoutMs + 2 * connectionTimeoutMs + marginMs);
    if (inTime !== undefined) return inTime;
    this.#sockets.sever();
    const atLast = await this.#within(settled, connectionTimeoutMs + marginMs);
    if (atLast !== undefined) return atLast;
    throw new OutriderError(
      "PUBLISH_STUCK",
      `kafkajs did not end a ${what} with all its connections closed`,
      {
        repair: "Restart: nothing is lost, the events are still in the outbox.",
      },
    );
  }

  /** Undefined when it has not settled by then. `settled` never rejects. */
  #within<T>(settled: Promise<T>, timeoutMs: number): Promise<T | undefined> {
    return new Promise((resolve) => {
      const silence = this.#clock.alarm(timeoutMs, () => resolve(undefined));
      void settled.then((value) => {
        silence();
        resolve(value);
      });
    });
  }
}
