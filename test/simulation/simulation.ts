/** One run: a scenario played over the models, watched, healed, drained and judged. */
import type { Announcement } from "../../src/relay/announcements.ts";
import { Fleet } from "./fleet.ts";
import { type Violation, Watch } from "./laws.ts";
import { ModelBroker, partitionCount } from "./model-broker.ts";
import { ModelDatabase } from "./model-database.ts";
import { leaseTiming, type Mutant, type RelayWorld } from "./relay-under-test.ts";
import {
  aggregateCount,
  type FaultPlan,
  healMs,
  isCalm,
  type LostRequests,
  type Scenario,
} from "./scenario.ts";
import type { StatementKind } from "./simulated-ports.ts";
import { type Fate, SimulatedProcess } from "./simulated-process.ts";
import { VirtualTime } from "./virtual-time.ts";
import { write } from "./write.ts";

export interface Outcome {
  readonly violations: readonly Violation[];
  readonly events: number;
  readonly duplicates: number;
  readonly steps: number;
  readonly virtualMs: number;
}

/**
 * After the last fault everything must have arrived within this. A sweep whose answer was held up by the
 * longest pause (200 ms) waits for 19 times as long before the next one: nothing else comes near it.
 */
const drainMsMax = 6_000;
const stopMsMax = 1_000;
/** Under the policy `dead-letter` an event is given up after so many refusals. */
const attemptsMax = 3;

/** What the plan says happens to the next request of a kind, by slot. */
type PlannedFates = Map<string, Fate[]>;

export async function simulate(scenario: Scenario, mutant?: Mutant): Promise<Outcome> {
  return new Simulation(scenario, mutant).run();
}

class Simulation {
  readonly #scenario: Scenario;
  readonly #time = new VirtualTime();
  readonly #database: ModelDatabase;
  readonly #broker: ModelBroker;
  readonly #watch: Watch;
  readonly #fleet: Fleet;
  readonly #fates: PlannedFates = new Map();
  /** Faults that last, by what they hit: two that overlap must not end each other early. */
  readonly #lasting = new Map<string, number>();

  constructor(scenario: Scenario, mutant: Mutant | undefined) {
    this.#scenario = scenario;
    this.#database = new ModelDatabase(() => this.#time.nowUs, leaseTiming.leaseTtlMs, {
      announces: scenario.isNarrow,
      isTwoPhase: scenario.transactions.some(({ end }) => end === "prepare"),
    });
    this.#watch = new Watch(this.#database, attemptsMax);
    this.#broker = new ModelBroker(this.#watch.appended);
    this.#watch.observe(this.#broker);
    this.#fleet = new Fleet({
      watch: this.#watch,
      worldOf: (slot, generation) => this.#worldOf(slot, generation),
      listener: (announcement) => this.#hear(announcement),
      onStopped: (name) => {
        if (isCalm(scenario)) this.#watch.stopped(name);
      },
      mutant,
    });
  }

  async run(): Promise<Outcome> {
    const { relays, transactions, faults } = this.#scenario;
    for (const [slot, { startMs }] of relays.entries()) this.#at(startMs, () => this.#fleet.start(slot));
    for (const plan of transactions)
      this.#at(plan.atMs, () => write(plan, this.#time, this.#database, this.#watch));
    for (const fault of faults) this.#at(fault.atMs, () => this.#strike(fault));
    this.#sweepRegularly();
    await this.#time.runUntil(() => this.#isBroken, healMs * 1_000);
    this.#heal();
    const isDrained = () =>
      this.#isBroken || (this.#database.openCount === 0 && this.#database.remaining.length === 0);
    await this.#time.runUntil(isDrained, (healMs + drainMsMax) * 1_000);
    if (!this.#isBroken) await this.#stopAll();
    const duplicates = this.#watch.judge(this.#broker, this.#duplicatesMax());
    return {
      violations: this.#watch.violations,
      events: this.#database.committed.length,
      duplicates,
      steps: this.#time.stepCount,
      virtualMs: this.#time.nowUs / 1_000,
    };
  }

  get #isBroken(): boolean {
    return this.#watch.violations.length > 0;
  }

  #at(ms: number, step: () => void): void {
    this.#time.after(ms * 1_000 - this.#time.nowUs, step);
  }

  #worldOf(slot: number, generation: number): RelayWorld {
    const { seed, relays, latencyUsMax, chunkEventsMax, batchEventsMax, fenceHoldMs, rejected } =
      this.#scenario;
    const skew = relays[slot] ?? { rate: 1, wallOffsetMs: 0 };
    const process = new SimulatedProcess(
      `relay ${slot + 1}.${generation}`,
      this.#time,
      seed * 1_000 + slot * 100 + generation,
      skew,
      latencyUsMax,
    );
    const fateOf = (kind: StatementKind | "send") => this.#fates.get(`${slot} ${kind}`)?.shift() ?? answered;
    return {
      ports: { time: this.#time, process, database: this.#database, fateOf },
      publishing: { process, broker: this.#broker, fateOf: () => fateOf("send"), chunkEventsMax },
      watch: this.#watch,
      limits: { batchEventsMax, rejected, attemptsMax, fenceHoldMs: fenceHoldMs ?? Number.POSITIVE_INFINITY },
    };
  }

  #hear(announcement: Announcement): void {
    if (announcement.type === "fence-passed") this.#database.pass(announcement.transaction);
  }

  #strike(fault: FaultPlan): void {
    switch (fault.kind) {
      case "kill":
        this.#fleet.kill(fault.relay);
        this.#restart(fault.relay, fault.restartMs);
        break;
      case "stop":
        this.#fleet.stop(fault.relay, () => this.#restart(fault.relay, fault.restartMs));
        break;
      case "pause": {
        const process = this.#fleet.at(fault.relay)?.process;
        process?.pause();
        this.#time.after(fault.forMs * 1_000, () => process?.resume());
        break;
      }
      case "sweep":
        this.#sweep(fault.relay);
        break;
      case "statement":
        this.#doom(`${fault.relay} ${fault.of}`, fault);
        break;
      case "send":
        this.#doom(`${fault.relay} send`, fault);
        break;
      case "database away":
        this.#lasts("database", fault.forMs, (isOn) => {
          this.#database.isAway = isOn;
        });
        break;
      case "leader away":
        this.#lasts(`partition ${fault.partition}`, fault.forMs, (isOn) =>
          toggle(this.#broker.leaderless, fault.partition % partitionCount, isOn),
        );
        break;
      case "refuse":
        this.#lasts(`aggregate ${fault.aggregate}`, fault.forMs, (isOn) =>
          toggle(this.#broker.refused, `order-${fault.aggregate % aggregateCount}`, isOn),
        );
    }
  }

  /** The next requests of this kind end so. */
  #doom(key: string, { fate, byMs, times }: LostRequests): void {
    const one: Fate = fate === "late" ? { kind: "late", byUs: byMs * 1_000 } : { kind: fate };
    this.#fates.set(key, [...(this.#fates.get(key) ?? []), ...Array.from({ length: times }, () => one)]);
  }

  #lasts(what: string, forMs: number, set: (isOn: boolean) => void): void {
    const change = (by: number) => {
      const count = (this.#lasting.get(what) ?? 0) + by;
      this.#lasting.set(what, count);
      set(count > 0);
    };
    change(1);
    this.#time.after(forMs * 1_000, () => change(-1));
  }

  #restart(slot: number, afterMs: number): void {
    if (slot < this.#scenario.relays.length) this.#time.after(afterMs * 1_000, () => this.#fleet.start(slot));
  }

  #sweep(slot: number): void {
    const member = this.#fleet.at(slot);
    member?.process.enter(() => member.sweep());
  }

  #sweepRegularly(): void {
    for (const slot of this.#scenario.relays.keys()) this.#sweep(slot);
    this.#time.after(50_000, () => this.#sweepRegularly());
  }

  /** The last fault is over (some end a little later by themselves): whoever is down comes up. */
  #heal(): void {
    this.#fates.clear();
    for (const slot of this.#scenario.relays.keys()) this.#fleet.start(slot);
  }

  async #stopAll(): Promise<void> {
    this.#fleet.close();
    for (const slot of this.#scenario.relays.keys()) this.#fleet.stop(slot, () => undefined);
    const isDown = () => this.#isBroken || this.#fleet.running.length === 0;
    if (await this.#time.runUntil(isDown, this.#time.nowUs + stopMsMax * 1_000)) return;
    this.#watch.report("a relay ends when asked", "a relay did not end");
  }

  /** Each disturbance can repeat what is in flight: two batches a relay. */
  #duplicatesMax(): number {
    const { faults, relays, batchEventsMax } = this.#scenario;
    if (isCalm(this.#scenario)) return 0;
    const disturbances = faults.reduce((sum, fault) => sum + ("times" in fault ? fault.times : 1), 0);
    return disturbances * relays.length * 2 * batchEventsMax;
  }
}

const answered: Fate = { kind: "answered" };

function toggle<T>(set: Set<T>, value: T, isOn: boolean): void {
  if (isOn) set.add(value);
  else set.delete(value);
}
