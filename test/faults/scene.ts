/**
 * One row of the matrix while it runs: a database and a topic of its own, writers, relays, and the
 * checks that only hold while everything is still there. `finish` lets the backlog drain, ends the
 * relays cleanly and judges.
 */
import type pg from "pg";
import { shardCount } from "../../src/event/shard.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { freshDatabase } from "../support/database.ts";
import { databaseConfig } from "../support/migrated-database.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";
import { Crew } from "./crew.ts";
import { auditedBy, recordsIn, removedFrom } from "./evidence.ts";
import { History } from "./history.ts";
import { judge, type Recorded } from "./judge.ts";
import { leaseLogTable, leaseViolations, shares, takeoverMs } from "./lease-log.ts";
import { auditTable, connected, Load, type LoadOptions } from "./load.ts";
import { type Bounds, type Outcome, summarise } from "./outcome.ts";
import { Sampler } from "./sampler.ts";
import type { KafkaStage, Stage } from "./stage.ts";

export interface Play {
  /** Fewer repetitions and shorter calm. */
  readonly isShort?: boolean;
  readonly brokers?: 1 | 3;
  readonly relays?: number;
  readonly partitions?: number;
  readonly topicSettings?: Readonly<Record<string, string>>;
  readonly load?: Partial<LoadOptions>;
  readonly relayEnvironment?: Readonly<Record<string, string>>;
}

/** I10: so long may the backlog take to drain after everything has healed. */
const drainMsMax = 30_000;
const askAgainMs = 40;

export class Scene {
  readonly history: History;
  readonly canary: string;
  readonly violations: string[] = [];
  readonly notes: string[] = [];
  readonly #earlier: Recorded[] = [];
  load: Load | undefined;

  private constructor(
    readonly stage: Stage,
    readonly kafka: KafkaStage,
    readonly topic: string,
    /** Straight to PostgreSQL, past the proxy. */
    readonly url: string,
    readonly client: pg.Client,
    readonly crew: Crew,
    readonly sampler: Sampler,
    readonly seed: number,
    private readonly play: Play,
    private readonly drop: () => Promise<void>,
    history: History,
  ) {
    this.history = history;
    this.canary = `payload-canary-${seed}`;
  }

  static async open(stage: Stage, id: string, seed: number, play: Play): Promise<Scene> {
    const kafka = play.brokers === 3 ? await stage.three() : stage.one;
    const database = await freshDatabase(stage.postgres.url);
    const migrator = await connect(databaseConfig(database.url));
    await migrate(migrator, { schema: "public", direction: "up", payloadType: "json" });
    await migrator.query(auditTable);
    await migrator.query(leaseLogTable);
    await migrator.end();
    const topic = uniqueTopic(`faults-${id.toLowerCase()}`);
    const { partitions = 6, topicSettings = {} } = play;
    await createTopics(kafka.kafka.brokers, [{ topic, partitions, settings: topicSettings }]);
    const proxied = new URL(database.url);
    proxied.host = stage.postgresProxy.address;
    const history = new History();
    const crew = new Crew(
      { DATABASE_URL: proxied.href, KAFKA_BROKERS: kafka.addresses, ...play.relayEnvironment },
      history,
    );
    const client = await connected(database.url, "checker");
    const sampler = new Sampler(database.url);
    return new Scene(
      stage,
      kafka,
      topic,
      database.url,
      client,
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
    const standard = { writers: 8, aggregates: 200, holdMsMax: 5, pauseMsMax: 40 };
    const own = { url: this.url, topic: this.topic, seed: this.seed, canary: this.canary };
    this.load = new Load({ ...standard, ...own, ...this.play.load, ...more }, this.history);
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

  /** Resolves when the condition holds; rejects, saying what it waited for, when it does not in time. */
  async until<T>(
    what: string,
    timeoutMs: number,
    ask: () => T | undefined | Promise<T | undefined>,
  ): Promise<T> {
    const endMs = systemClock.monotonicMs() + timeoutMs;
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (systemClock.monotonicMs() > endMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
      await systemClock.sleep(askAgainMs);
    }
  }

  /** How long after `atMs` the relays published again. */
  async flowing(atMs: number): Promise<number> {
    const what = "I10: something is published again";
    return (await this.until(what, drainMsMax, () => this.crew.publishedAfter(atMs))) - atMs;
  }

  /** How long after `atMs` every shard of that process had a new holder. */
  takenOver(pid: number, atMs: number): Promise<number> {
    return this.until("the shards are taken over", drainMsMax, async () => {
      return (await takeoverMs(this.client, pid, atMs)) ?? undefined;
    });
  }

  /** Shards held by each living relay, most first. */
  async sharesHeld(): Promise<number[]> {
    const pids = this.crew.alive.map(({ process }) => process.pid);
    const held = await shares(this.client, pids);
    return pids.map((pid) => held.get(pid) ?? 0).sort((a, b) => b - a);
  }

  /** Every shard has a holder, and nobody more than a fair share: else a fault might hit an idle relay. */
  async shared(): Promise<readonly number[]> {
    const share = Math.ceil(shardCount / this.crew.alive.length);
    return this.until("the shards are shared fairly", drainMsMax, async () => {
      const held = await this.sharesHeld();
      const isAll = held.reduce((sum, count) => sum + count, 0) === shardCount;
      return isAll && held.every((count) => count <= share) ? held : undefined;
    });
  }

  backlog(): Promise<number> {
    return this.#count("undispatched_events");
  }

  committed(): Promise<number> {
    return this.#count("fault_audit");
  }

  /** I8: whatever was committed and is not in the table any more must be in Kafka already. */
  async checkpoint(): Promise<number> {
    const removed = await removedFrom(this.client);
    const there = new Set([...this.#earlier, ...(await this.#records())].map(({ eventId }) => eventId));
    const lost = removed.filter((eventId) => !there.has(eventId));
    this.fault("checkpoint", { removed: removed.length, lost: lost.length });
    if (lost.length > 0) {
      this.violations.push(`I8: ${lost.length} events were deleted and are not in Kafka, such as ${lost[0]}`);
    }
    return removed.length;
  }

  /** Keeps what the topic holds now for the judgement, as the topic is about to be deleted. */
  async remember(): Promise<void> {
    this.#earlier.push(...(await this.#records()));
  }

  #records(): Promise<Recorded[]> {
    return recordsIn(this.kafka.kafka.brokers, this.topic);
  }

  async drained(left = 0): Promise<void> {
    const start = systemClock.monotonicMs();
    await this.until(`I10: the backlog is down to ${left}`, drainMsMax, async () =>
      (await this.backlog()) <= left ? true : undefined,
    );
    this.history.note("checker", "drained", { afterMs: Math.round(systemClock.monotonicMs() - start) });
  }

  async finish(bounds: Bounds): Promise<Outcome> {
    await this.load?.stop();
    try {
      await this.drained(bounds.backlogLeft);
    } catch (error) {
      this.violations.push(error instanceof Error ? error.message : String(error));
    }
    const unclean = await this.crew.disband();
    this.violations.push(...unclean.map((sentence) => `I13: ${sentence}`));
    await this.#checkLeases(bounds);
    this.#checkSecrets();
    await this.sampler.stop();
    const judgement = judge(await auditedBy(this.client), [...this.#earlier, ...(await this.#records())]);
    return summarise(judgement, bounds, {
      violations: [...this.violations, ...this.sampler.violations],
      notes: this.notes,
      crashes: this.crew.crashes,
      connectionsMax: this.sampler.connectionsMax,
    });
  }

  async close(): Promise<void> {
    await this.load?.stop().catch(() => undefined);
    await this.crew.disband();
    for (const { process, isAlive } of this.crew.members) if (isAlive) await process.end("SIGKILL");
    await this.sampler.stop();
    await this.client.end().catch(() => undefined);
    await this.drop().catch(() => undefined);
  }

  async #count(table: string): Promise<number> {
    const { rows } = await this.client.query<{ n: number }>(`select count(*)::int as n from ${table}`);
    return rows[0]?.n ?? 0;
  }

  async #checkLeases({ leasesLeft = false }: Bounds): Promise<void> {
    this.violations.push(...(await leaseViolations(this.client)).map((sentence) => `leases: ${sentence}`));
    const { rows } = await this.client.query("select from outrider_shard_leases where holder is not null");
    if (rows.length > 0 && !leasesLeft)
      this.violations.push(`I13: ${rows.length} leases were not handed back`);
  }

  /** I14: no relay ever says a payload or the password. */
  #checkSecrets(): void {
    const secrets = [this.canary, decodeURIComponent(new URL(this.url).password)].filter(
      (text) => text !== "",
    );
    for (const { name, process } of this.crew.members) {
      const all = JSON.stringify(process.lines) + process.stderr;
      if (secrets.some((secret) => all.includes(secret))) {
        this.violations.push(`I14: ${name} has written a payload or a password to its log`);
      }
    }
  }
}
