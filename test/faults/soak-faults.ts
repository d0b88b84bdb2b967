/** One fault after another, at random, each healed before the next: until told to stop. */
import { systemClock } from "../../src/foundation/clock.ts";
import { kafkaApis } from "../support/proxy.ts";
import type { Crew, Member } from "./crew.ts";
import { connected } from "./load.ts";
import type { Stage } from "./stage.ts";

const calmMsMax = 4_000;

/** A process that is still being loaded dies of SIGTERM, as any would: it has nothing to finish. */
const youthMs = 10_000;

export class SoakFaults {
  readonly counts: Record<string, number> = {};
  readonly #stage: Stage;
  readonly #url: string;
  readonly #crew: Crew;
  readonly #random: () => number;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  /** The first relay of the crew is spared what kills: its memory is watched from start to end. */
  constructor(stage: Stage, url: string, crew: Crew, random: () => number) {
    this.#stage = stage;
    this.#url = url;
    this.#crew = crew;
    this.#random = random;
    this.#running = this.#run();
    this.#running.catch(() => undefined); // Thrown where `stop` awaits it.
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  /** Resolves when the last fault is over. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const faults: readonly (readonly [string, () => Promise<void>])[] = [
      ["kill -9", () => this.#kill()],
      ["SIGTERM", () => this.#dismiss()],
      ["SIGSTOP", () => this.#freeze()],
      ["terminated backends", () => this.#terminate()],
      ["PostgreSQL cut", async () => this.#stage.postgresProxy.cut()],
      ["Kafka cut", async () => this.#kafka.cut()],
      ["PostgreSQL silent", () => this.#silence(this.#stage.postgresProxy)],
      ["Kafka silent", () => this.#silence(this.#kafka)],
      ["Produce response lost", () => this.#swallow()],
    ];
    while (!signal.aborted) {
      await systemClock.sleep(this.#random() * calmMsMax, signal);
      const [name, harm] = faults[Math.floor(this.#random() * faults.length)] ?? [];
      if (signal.aborted || name === undefined || harm === undefined) continue;
      await harm();
      this.counts[name] = (this.counts[name] ?? 0) + 1;
    }
  }

  get #kafka() {
    const proxy = this.#stage.one.proxies[0];
    if (proxy === undefined) throw new Error("the broker has no proxy");
    return proxy;
  }

  /** Any living relay but the first, if it is old enough to have heard of signals. */
  #victim(): Member | undefined {
    const bornByMs = systemClock.monotonicMs() - youthMs;
    const candidates = this.#crew.alive.slice(1).filter(({ startedMs }) => startedMs < bornByMs);
    return candidates[Math.floor(this.#random() * candidates.length)];
  }

  async #kill(): Promise<void> {
    const victim = this.#victim();
    if (victim === undefined) return;
    await this.#crew.kill(victim);
    this.#crew.start();
  }

  async #dismiss(): Promise<void> {
    const victim = this.#victim();
    if (victim === undefined) return;
    await this.#crew.dismiss(victim);
    this.#crew.start();
  }

  async #freeze(): Promise<void> {
    const { alive } = this.#crew;
    const victim = alive[Math.floor(this.#random() * alive.length)];
    victim?.process.signal("SIGSTOP");
    await systemClock.sleep(this.#random() * 5_000);
    victim?.process.signal("SIGCONT");
  }

  /** Of relays and writers alike, each with one chance in two. */
  async #terminate(): Promise<void> {
    const client = await connected(this.#url, "soak faults");
    await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and random() < 0.5
          and (application_name like 'outrider relay%' or application_name like 'soak writer%')`,
    );
    await client.end();
  }

  async #silence(proxy: { blackHole(direction: "both"): void; heal(): Promise<void> }): Promise<void> {
    proxy.blackHole("both");
    await systemClock.sleep(this.#random() * 5_000);
    await proxy.heal();
  }

  async #swallow(): Promise<void> {
    const lost = this.#kafka.swallowNext({ apiKey: kafkaApis.produce });
    const waited = new AbortController();
    await Promise.race([lost.happened, systemClock.sleep(5_000, waited.signal)]);
    waited.abort();
    lost.release();
  }
}
