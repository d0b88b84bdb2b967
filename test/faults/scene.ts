/**
 * One row of the matrix while it runs: a database and a topic of its own, writers, relays, and the
 * checks that only hold while everything is still there. `finish` lets the backlog drain, ends the
 * relays cleanly and judges.
 */
import type pg from "pg";
import { shardCount } from "../../src/event/shard.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { preparedDatabase } from "../support/prepared-database.ts";
import type { Pair } from "../support/standby.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";
import { Crew } from "./crew.ts";
import { boundsUnder, type Delivery, environmentOf, fairShares } from "./delivery.ts";
import { auditedBy, removedFrom, TopicEvidence } from "./evidence.ts";
import { History } from "./history.ts";
import { leaseFaults, secretFaults } from "./hygiene.ts";
import { judge } from "./judge.ts";
import { leaseLogTable, shares, takeoverMs } from "./lease-log.ts";
import { auditTable, connected, Load, type LoadOptions } from "./load.ts";
import { lossesOf } from "./losses.ts";
import { type Bounds, type Outcome, summarise } from "./outcome.ts";
import type { Play } from "./play.ts";
import { Sampler } from "./sampler.ts";
import type { KafkaStage, Stage } from "./stage.ts";
import { until } from "./until.ts";

/** I10: so long may the backlog take to drain after everything has healed. */
const drainMsMax = 30_000;

/** The writers of a row that does not ask for others. */
export const standardLoad = { writers: 8, aggregates: 200, holdMsMax: 5, pauseMsMax: 40 } as const;

export class Scene {
  readonly history: History;
  readonly canary: string;
  readonly violations: string[] = [];
  readonly notes: string[] = [];
  readonly #undoings: (() => Promise<unknown>)[] = [];
  readonly evidence: TopicEvidence;
  load: Load | undefined;

  private constructor(
    readonly stage: Stage,
    readonly kafka: KafkaStage,
    readonly topic: string,
    private home: { readonly url: string; readonly client: pg.Client },
    readonly crew: Crew,
    readonly sampler: Sampler,
    readonly seed: number,
    private readonly play: Play,
    private readonly drop: () => Promise<void>,
    history: History,
  ) {
    this.history = history;
    this.evidence = new TopicEvidence(kafka.kafka.brokers, topic, this.delivery);
    this.canary = `payload-canary-${seed}`;
  }

  /** Straight to PostgreSQL, past the proxy. */
  get url(): string {
    return this.home.url;
  }

  get delivery(): Delivery {
    return this.play.delivery ?? "at-least-once";
  }

  get pair(): Pair | undefined {
    return this.play.pair;
  }

  get client(): pg.Client {
    return this.home.client;
  }

  /** What the checker asks from now on: the server that came back, or the one that took its place. */
  async settleAt(url: string = this.url): Promise<void> {
    await this.client.end().catch(() => undefined);
    this.home = { url, client: await connected(url, "checker") };
  }

  /** Done when the row is over, last thing first, whatever became of it. */
  defer(undo: () => Promise<unknown>): void {
    this.#undoings.unshift(undo);
  }

  static async open(stage: Stage, id: string, seed: number, play: Play): Promise<Scene> {
    const kafka = play.brokers === 3 ? await stage.three() : stage.one;
    const postgresUrl = play.pair?.primaryUrl ?? stage.postgres.url;
    const database = await preparedDatabase(postgresUrl, [auditTable, leaseLogTable]);
    stage.postgresProxy.leadTo(new URL(postgresUrl).host);
    const topic = uniqueTopic(`faults-${id.toLowerCase()}`);
    const { partitions = 6, topicSettings = {} } = play;
    await createTopics(kafka.kafka.brokers, [{ topic, partitions, settings: topicSettings }]);
    const history = new History();
    const crew = new Crew(
      {
        DATABASE_URL: stage.throughProxy(database.url),
        KAFKA_BROKERS: kafka.addresses,
        ...environmentOf(play.delivery ?? "at-least-once"),
        ...play.relayEnvironment,
      },
      history,
    );
    const client = await connected(database.url, "checker");
    const sampler = new Sampler(database.url);
    return new Scene(
      stage,
      kafka,
      topic,
      { url: database.url, client },
      crew,
      sampler,
      seed,
      play,
      database.drop,
      history,
    );
  }

  /** The relays have their shares, the writers write, and something has been published. */
  async begin(): Promise<void> {
    await this.crew.hireMany(this.play.relays ?? 3);
    await this.shared();
    this.startLoad();
    await this.flowing(systemClock.wallMs());
  }

  startLoad(more: Partial<LoadOptions> = {}): void {
    const url = this.play.pair === undefined ? this.url : this.stage.throughProxy(this.url);
    const own = { url, topic: this.topic, seed: this.seed, canary: this.canary };
    this.load = new Load({ ...standardLoad, ...own, ...this.play.load, ...more }, this.history);
  }

  fault(what: string, fields: Readonly<Record<string, unknown>> = {}): number {
    return this.history.note("fault", what, fields);
  }

  /** Repeats a fault so often, or less often where time is short; returns how often it was. */
  async repeat(times: number, harm: () => Promise<void>): Promise<number> {
    const turns = this.play.isShort ? Math.ceil(times / 3) : times;
    for (let turn = 0; turn < turns; turn += 1) await harm();
    return turns;
  }

  /** Lets the run go on as it is. */
  calm(ms: number): Promise<void> {
    return systemClock.sleep(this.play.isShort ? ms / 3 : ms);
  }

  last(ms: number): Promise<void> {
    return systemClock.sleep(ms);
  }

  /** How long after `atMs` the relays published again. */
  async flowing(atMs: number): Promise<number> {
    const what = "I10: something is published again";
    return (await until(what, drainMsMax, () => this.crew.publishedAfter(atMs))) - atMs;
  }

  /** How long after `atMs` every shard of that process had a new holder. */
  takenOver(pid: number, atMs: number): Promise<number> {
    return until("the shards are taken over", drainMsMax, async () => {
      return (await takeoverMs(this.client, pid, atMs)) ?? undefined;
    });
  }

  /** Shards held by each living relay, most first. */
  async sharesHeld(): Promise<number[]> {
    const pids = this.crew.alive.map(({ process }) => process.pid);
    const held = await shares(this.client, pids);
    return pids.map((pid) => held.get(pid) ?? 0).sort((a, b) => b - a);
  }

  /** Every shard has a holder, and everybody a fair share: else a fault might hit an idle relay. */
  async shared(): Promise<readonly number[]> {
    const { max, min } = fairShares(this.delivery, this.crew.alive.length);
    return until("the shards are shared fairly", drainMsMax, async () => {
      const held = await this.sharesHeld();
      const isAll = held.reduce((sum, count) => sum + count, 0) === shardCount;
      return isAll && held.every((count) => count <= max && count >= min) ? held : undefined;
    });
  }

  backlog(): Promise<number> {
    return this.#count("undispatched_events");
  }

  /** I8: what was committed and is not in the table must be in Kafka. At-most-once deletes first. */
  async checkpoint(): Promise<number> {
    const removed = await removedFrom(this.client);
    if (this.delivery === "at-most-once") return removed.length;
    const lost = await this.evidence.absent(removed);
    this.fault("checkpoint", { removed: removed.length, lost: lost.length });
    if (lost.length > 0) {
      this.violations.push(`I8: ${lost.length} events were deleted and are not in Kafka, such as ${lost[0]}`);
    }
    return removed.length;
  }

  async drained(left = 0, timeoutMs = drainMsMax): Promise<void> {
    const start = systemClock.monotonicMs();
    await until(`I10: the backlog is down to ${left}`, timeoutMs, async () =>
      (await this.backlog()) <= left ? true : undefined,
    );
    this.history.note("checker", "drained", { afterMs: Math.round(systemClock.monotonicMs() - start) });
  }

  async finish(bounds: Bounds): Promise<Outcome> {
    await this.load?.stop();
    try {
      await this.drained(bounds.backlogLeft, bounds.drainMsMax);
    } catch (error) {
      this.violations.push(error instanceof Error ? error.message : String(error));
    }
    const unclean = await this.crew.disband();
    this.violations.push(...unclean.map((sentence) => `I13: ${sentence}`));
    this.violations.push(...(await leaseFaults(this.client, bounds.leasesLeft ?? false)));
    this.violations.push(...secretFaults(this.crew.members, this.canary, this.url));
    await this.sampler.stop();
    const audited = await auditedBy(this.client);
    const records = await this.evidence.consumed();
    const losses =
      this.delivery === "at-most-once" ? lossesOf(audited, records, this.crew.members) : undefined;
    if (losses !== undefined) this.notes.push(losses.note);
    const held = { ...boundsUnder(this.delivery, bounds), ...losses?.bounds };
    return summarise(
      judge(audited, records),
      held,
      {
        violations: [...this.violations, ...this.sampler.violations, ...(losses?.violations ?? [])],
        notes: this.notes,
        crashes: this.crew.crashes,
        connectionsMax: this.sampler.connectionsMax,
      },
      this.isTimed,
    );
  }

  /** Whether what took too long breaks the row. A row that is a test runs wherever tests run. */
  get isTimed(): boolean {
    return this.play.isTimed ?? true;
  }

  async close(): Promise<void> {
    await this.load?.stop().catch(() => undefined);
    await this.crew.disband();
    for (const { process, isAlive } of this.crew.members) if (isAlive) await process.end("SIGKILL");
    await this.sampler.stop();
    for (const undo of this.#undoings) await undo();
    await this.client.end().catch(() => undefined);
    await this.drop().catch(() => undefined);
  }

  async #count(table: string): Promise<number> {
    const { rows } = await this.client.query<{ n: number }>(`select count(*)::int as n from ${table}`);
    return rows[0]?.n ?? 0;
  }
}
