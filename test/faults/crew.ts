/**
 * The relays of a run, under a supervisor: one that ends by itself with a fault is started again, as
 * Kubernetes or systemd would, and counted.
 */
import { systemClock } from "../../src/foundation/clock.ts";
import { type LogLine, RelayProcess } from "../support/relay-process.ts";
import type { History } from "./history.ts";

/** Short times, so that a row needs seconds; batches small enough that a crash finds more than one. */
export const relayDefaults: Readonly<Record<string, string>> = {
  OUTRIDER_LOG_LEVEL: "debug",
  OUTRIDER_BATCH_EVENTS_MAX: "200",
  OUTRIDER_LEASE_TTL_MS: "2000",
  OUTRIDER_LEASE_RENEW_MS: "500",
  OUTRIDER_BACKOFF_MAX_MS: "1000",
  OUTRIDER_DATABASE_CONNECT_TIMEOUT_MS: "2000",
  OUTRIDER_DATABASE_STATEMENT_TIMEOUT_MS: "1000",
  OUTRIDER_KAFKA_CONNECT_TIMEOUT_MS: "2000",
  OUTRIDER_KAFKA_REQUEST_TIMEOUT_MS: "2000",
  OUTRIDER_BLOCK_RETRY_MIN_MS: "200",
  OUTRIDER_BLOCK_RETRY_MAX_MS: "1000",
  OUTRIDER_SWEEP_CRON: "*/3 * * * * *",
};

export const leaseTtlMs = Number(relayDefaults.OUTRIDER_LEASE_TTL_MS);
export const batchEventsMax = Number(relayDefaults.OUTRIDER_BATCH_EVENTS_MAX);
/** What one relay may have acked and not removed, or sent and not heard of: two batches. */
export const inFlightMax = 2 * batchEventsMax;

/** By then every process has heard of signals, whether it says so or not. */
const youthMsMax = 15_000;

export interface Member {
  readonly name: string;
  readonly process: RelayProcess;
  /** On the monotonic clock of this process. */
  readonly startedMs: number;
  /** Ended on purpose; whatever its exit, it is not started again. */
  isDismissed: boolean;
  isAlive: boolean;
}

/** What a relay calls itself towards Kafka. */
export function clientIdOf(name: string): string {
  return name.replace(" ", "-");
}

export class Crew {
  readonly #environment: Readonly<Record<string, string>>;
  readonly #history: History;
  readonly #members: Member[] = [];
  #isDisbanded = false;
  /** Exits that nobody had asked for. */
  crashes = 0;

  constructor(environment: Readonly<Record<string, string>>, history: History) {
    this.#environment = { ...relayDefaults, ...environment };
    this.#history = history;
  }

  /** All but its name that a relay of this crew is started with. */
  get environment(): Readonly<Record<string, string>> {
    return this.#environment;
  }

  /** The relay that calls itself so towards Kafka. */
  called(clientId: string): Member {
    const member = this.#members.find(({ name }) => clientIdOf(name) === clientId);
    if (member === undefined) throw new Error(`no relay of this crew is called "${clientId}"`);
    return member;
  }

  /** All that ever were, in the order of their start. */
  get members(): readonly Member[] {
    return this.#members;
  }

  get alive(): readonly Member[] {
    return this.#members.filter(({ isAlive, isDismissed }) => isAlive && !isDismissed);
  }

  /** Resolves when it relays. */
  async hire(more: Readonly<Record<string, string>> = {}): Promise<Member> {
    const member = this.start(more);
    await member.process.heard("relay-started");
    return member;
  }

  async hireMany(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.hire()));
  }

  /** kill -9; returns the moment. */
  async kill(member: Member): Promise<number> {
    member.isDismissed = true;
    const atMs = this.#history.note("fault", "kill -9", { relay: member.name });
    await member.process.end("SIGKILL");
    return atMs;
  }

  /** SIGTERM; rejects when the relay does not end with success. Returns the moment of the signal. */
  async dismiss(member: Member): Promise<number> {
    member.isDismissed = true;
    await this.#awake(member);
    const atMs = this.#history.note("fault", "SIGTERM", { relay: member.name });
    const { code, signal } = await member.process.end("SIGTERM");
    if (code !== 0) throw new Error(`${member.name} did not stop cleanly: exit ${code ?? signal}`);
    return atMs;
  }

  /** A process that is still being loaded dies of SIGTERM, as any would: it has nothing to finish. */
  async #awake({ process, startedMs }: Member): Promise<void> {
    const youthMs = startedMs + youthMsMax - systemClock.monotonicMs();
    if (youthMs <= 0) return;
    const grown = new AbortController();
    const started = process.heard("relay-started").catch(() => undefined);
    await Promise.race([started, systemClock.sleep(youthMs, grown.signal)]);
    grown.abort();
  }

  /** Ends all of them cleanly; returns what went wrong, one sentence each. */
  async disband(): Promise<string[]> {
    const isFirst = !this.#isDisbanded;
    this.#isDisbanded = true;
    const ends = await Promise.allSettled(this.alive.map((member) => this.dismiss(member)));
    if (isFirst) for (const { name, process } of this.#members) this.#history.hear(name, process.lines);
    return ends.flatMap((end) => (end.status === "rejected" ? [String(end.reason.message)] : []));
  }

  /** When a relay first published something after that moment; undefined while none has. */
  publishedAfter(atMs: number): number | undefined {
    const times = this.#members.flatMap(({ process }) => {
      const first = process.lines.find(
        ({ event, events, time }) =>
          event === "batch-published" && Number(events) > 0 && Date.parse(String(time)) > atMs,
      );
      return first === undefined ? [] : [Date.parse(String(first.time))];
    });
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Lines of all relays that say this event. */
  linesOf(event: string): LogLine[] {
    return this.#members.flatMap(({ process }) => process.lines.filter((line) => line.event === event));
  }

  said(event: string): number {
    return this.linesOf(event).length;
  }

  /** Whether any relay has written a line with this text. */
  wrote(text: string): boolean {
    return this.#members.some(({ process }) => process.lines.some(({ msg }) => msg?.includes(text) === true));
  }

  /** Does not wait until it relays. */
  start(more: Readonly<Record<string, string>> = {}): Member {
    const name = `relay ${this.#members.length + 1}`;
    const named = { OUTRIDER_KAFKA_CLIENT_ID: clientIdOf(name) };
    const process = new RelayProcess({ ...this.#environment, ...named, ...more });
    const member: Member = {
      name,
      process,
      startedMs: systemClock.monotonicMs(),
      isDismissed: false,
      isAlive: true,
    };
    this.#members.push(member);
    this.#history.note(member.name, "started", { pid: process.pid });
    process.exited.then(
      ({ code, signal }) => {
        member.isAlive = false;
        this.#history.note(member.name, "ended", { code, signal });
        if (!member.isDismissed) this.#replace(more);
      },
      () => undefined,
    );
    return member;
  }

  #replace(more: Readonly<Record<string, string>>): void {
    this.crashes += 1;
    if (this.#isDisbanded) return;
    // A moment's pause, as supervisors make one: a relay that cannot live must not take the machine.
    systemClock.sleep(200).then(
      () => {
        if (!this.#isDisbanded) this.start(more);
      },
      () => undefined,
    );
  }
}
