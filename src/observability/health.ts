/**
 * Health: what the relay's announcements say about it, as three questions that an orchestrator asks.
 *
 *     started   the table was fit, the broker was there, the first claim was made   restart it no more
 *     live      every loop has a pulse                                              else: restart it
 *     ready     started, not stopping, PostgreSQL and the broker answer             else: say so
 *
 *     starting ──relay-started──► running ──drain, relay-stopping──► stopping
 *
 * `live` never depends on PostgreSQL or Kafka: an outage would otherwise restart every relay there is.
 * While one waits for an outage to end its loops have a pulse, and before the first round there is no
 * loop that could be dead.
 */
import type { Clock } from "../foundation/clock.ts";
import type { Listener } from "../relay/announcements.ts";

export interface HealthOptions {
  /** How old the weakest pulse may be. */
  readonly pulseAgeMsMax: number;
  /** Whether a broker that is away makes the relay unready. */
  readonly isBrokerNeeded: boolean;
}

/** One check, in words that hold nothing of the configuration. */
export interface Check {
  readonly name: "started" | "stopping" | "loop" | "outbox" | "broker";
  readonly isOk: boolean;
  readonly state: string;
  /** How long it has been so, or how old the pulse is. */
  readonly forMs: number;
}

export interface Verdict {
  readonly isOk: boolean;
  readonly checks: readonly Check[];
}

interface PartHealth {
  readonly isUp: boolean;
  readonly sinceMs: number;
}

export class Health {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #options: HealthOptions;
  readonly #pulseAgeMs: () => number | null;
  #phase: "starting" | "running" | "stopping" = "starting";
  #phaseSinceMs: number;
  #wasStarted = false;
  readonly #parts: Record<"outbox" | "broker", PartHealth>;

  constructor(clock: Pick<Clock, "monotonicMs">, options: HealthOptions, pulseAgeMs: () => number | null) {
    this.#clock = clock;
    this.#options = options;
    this.#pulseAgeMs = pulseAgeMs;
    this.#phaseSinceMs = clock.monotonicMs();
    const unseen = { isUp: false, sinceMs: this.#phaseSinceMs };
    this.#parts = { outbox: unseen, broker: unseen };
  }

  readonly listener: Listener = (said) => {
    switch (said.type) {
      case "relay-started":
        this.#wasStarted = true;
        if (this.#phase === "starting") this.#enter("running");
        this.#note("outbox", true);
        this.#note("broker", true);
        return;
      case "relay-stopping":
        return this.drain();
      case "outbox-lost":
      case "broker-lost":
        return this.#note(said.type === "outbox-lost" ? "outbox" : "broker", false);
      case "outbox-back":
      case "broker-back":
        return this.#note(said.type === "outbox-back" ? "outbox" : "broker", true);
      case "polled":
        return this.#note("outbox", true);
      case "batch-published":
        // One partition may be away while others take what they get: only a whole batch is evidence.
        if (said.events > 0 && said.unknown === 0) this.#note("broker", true);
        return;
      default:
    }
  };

  /** The relay was asked to stop: from now on it is not ready, and still live. */
  drain(): void {
    if (this.#phase !== "stopping") this.#enter("stopping");
  }

  live(): Verdict {
    return verdictOf([this.#loop()]);
  }

  started(): Verdict {
    return verdictOf([this.#started()]);
  }

  ready(): Verdict {
    const isStopping = this.#phase === "stopping";
    const stopping: Check = {
      name: "stopping",
      isOk: !isStopping,
      state: isStopping ? "stopping" : "no",
      forMs: isStopping ? this.#ageOf(this.#phaseSinceMs) : 0,
    };
    const broker = this.#part("broker");
    const { isBrokerNeeded } = this.#options;
    const judged = isBrokerNeeded ? broker : { ...broker, isOk: true };
    return verdictOf([this.#started(), stopping, this.#loop(), this.#part("outbox"), judged]);
  }

  #started(): Check {
    const state = this.#wasStarted ? "started" : "starting";
    return { name: "started", isOk: this.#wasStarted, state, forMs: this.#ageOf(this.#phaseSinceMs) };
  }

  #loop(): Check {
    const ageMs = this.#pulseAgeMs();
    if (this.#phase !== "running" || ageMs === null)
      return { name: "loop", isOk: true, state: "not running", forMs: 0 };
    const isOk = ageMs <= this.#options.pulseAgeMsMax;
    return { name: "loop", isOk, state: isOk ? "running" : "no pulse", forMs: Math.round(ageMs) };
  }

  #part(name: "outbox" | "broker"): Check {
    const { isUp, sinceMs } = this.#parts[name];
    const state = isUp ? "up" : this.#wasStarted ? "away" : "not reached yet";
    return { name, isOk: isUp, state, forMs: this.#ageOf(sinceMs) };
  }

  #enter(phase: "running" | "stopping"): void {
    this.#phase = phase;
    this.#phaseSinceMs = this.#clock.monotonicMs();
  }

  #note(name: "outbox" | "broker", isUp: boolean): void {
    if (this.#parts[name].isUp === isUp) return;
    this.#parts[name] = { isUp, sinceMs: this.#clock.monotonicMs() };
  }

  #ageOf(sinceMs: number): number {
    return Math.round(this.#clock.monotonicMs() - sinceMs);
  }
}

function verdictOf(checks: readonly Check[]): Verdict {
  return { isOk: checks.every(({ isOk }) => isOk), checks };
}
