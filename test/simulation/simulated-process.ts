/**
 * The operating-system process of one relay. Whatever enters it (an answer, the end of a sleep) comes
 * in through here, and whatever leaves it goes out through here; so it can be stopped in its tracks,
 * as SIGSTOP does, and killed at any point where it waits.
 *
 *     running ──pause──► paused ──resume──► running        time goes on, what arrives has to wait
 *        └───────────kill──┴──────────────► dead           nothing enters or leaves any more
 */
import type { Clock } from "../../src/foundation/clock.ts";
import { seeded } from "../support/writers.ts";
import type { VirtualTime } from "./virtual-time.ts";

export interface ClockSkew {
  /** How fast its clocks run: 1 is the database's pace. */
  readonly rate: number;
  readonly wallOffsetMs: number;
}

/** What becomes of one request. */
export type Fate =
  | { readonly kind: "answered" }
  /** Carried out, but the answer never comes. */
  | { readonly kind: "unanswered" }
  /** Never carried out, and no answer. */
  | { readonly kind: "lost" }
  /** The client gives up first; it is carried out afterwards. */
  | { readonly kind: "late"; readonly byUs: number };

export type Outcome<T> = { readonly isAnswered: true; readonly value: T } | { readonly isAnswered: false };

const answered: Fate = { kind: "answered" };

export class SimulatedProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly #time: VirtualTime;
  readonly #latencyUsMax: number;
  #state: "running" | "paused" | "dead" = "running";
  #waiting: (() => void)[] = [];

  constructor(name: string, time: VirtualTime, seed: number, skew: ClockSkew, latencyUsMax: number) {
    this.name = name;
    this.random = seeded(seed);
    this.#time = time;
    this.#latencyUsMax = latencyUsMax;
    this.clock = this.#clockWith(skew);
  }

  get isAlive(): boolean {
    return this.#state !== "dead";
  }

  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "running";
    const waiting = this.#waiting;
    this.#waiting = [];
    // Timers and sockets that came due meanwhile are served in no particular order.
    for (const step of waiting) this.#time.after(this.random() * 50, () => this.enter(step));
  }

  kill(): void {
    this.#state = "dead";
    this.#waiting = [];
  }

  /** Runs a step of this process now, when it is resumed, or never. */
  enter(step: () => void): void {
    if (this.#state === "dead") return;
    if (this.#state === "paused") {
      this.#waiting.push(step);
      return;
    }
    step();
    this.#time.touch();
  }

  /** Mostly short, now and then long: a long one is what lets others overtake. */
  latencyUs(): number {
    const drawn = this.random();
    return 20 + drawn * drawn * drawn * this.#latencyUsMax;
  }

  /**
   * A request to a server and its answer. It leaves the process, travels, is carried out by calling
   * `carryOut` (which replies at once or later), and the answer travels back; others move in between.
   * `fateOf` is asked when it arrives.
   */
  request<T>(
    carryOut: (reply: (value: T) => void) => void,
    fateOf: () => Fate = () => answered,
  ): Promise<Outcome<T>> {
    return new Promise((resolve) => {
      const back = (outcome: Outcome<T>, us: number) =>
        this.#time.after(us, () => this.enter(() => resolve(outcome)));
      const arrive = () => {
        const fate = fateOf();
        if (fate.kind === "answered") {
          carryOut((value) => back({ isAnswered: true, value }, this.latencyUs()));
          return;
        }
        const timeoutUs = 3_000 + this.random() * 10_000;
        back({ isAnswered: false }, timeoutUs);
        if (fate.kind === "unanswered") carryOut(() => undefined);
        if (fate.kind === "late") this.#time.after(timeoutUs + fate.byUs, () => carryOut(() => undefined));
      };
      // A process that is stopped between its decision and the send sends when it is resumed.
      const leave = () => this.enter(() => this.#time.after(this.latencyUs(), arrive));
      this.#time.after(this.random() * 30, leave);
    });
  }

  #clockWith({ rate, wallOffsetMs }: ClockSkew): Clock {
    const monotonicMs = () => (this.#time.nowUs / 1000) * rate;
    return {
      monotonicMs,
      wallMs: () => monotonicMs() + wallOffsetMs,
      sleep: (ms, signal) => {
        if (signal?.aborted) return Promise.resolve();
        return new Promise((resolve) => {
          const wake = () => {
            signal?.removeEventListener("abort", wake);
            resolve();
          };
          signal?.addEventListener("abort", wake, { once: true });
          this.#time.after((Math.max(0, ms) * 1000) / rate, () => this.enter(wake));
        });
      },
      alarm: (ms, ring) => {
        let isSilent = false;
        const wake = () => {
          if (!isSilent) ring();
        };
        this.#time.after((Math.max(0, ms) * 1000) / rate, () => this.enter(wake));
        return () => {
          isSilent = true;
        };
      },
    };
  }
}
