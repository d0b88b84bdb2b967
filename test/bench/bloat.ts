/**
 * An old snapshot is held open under load, so that vacuum may remove nothing of what was deleted since: what does
 * a claim read then, how late are events, and how fast does a backlog go at the end? The same load without the
 * snapshot beside it. A table that is emptied all the time is nearly all dead rows by then.
 */
import pg from "pg";
import { isoOfMicros } from "../../src/event/position.ts";
import { allShards } from "../../src/event/shard.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { median, type Quantiles, ratioOf, rounded, type Spread } from "../../src/foundation/figures.ts";
import { anySlot, claimStatement } from "../../src/outbox/statements.ts";
import { type Company, measureLatency } from "./latency-run.ts";
import { machineMs } from "./machine-clock.ts";
import type { BenchOptions } from "./options.ts";
import { carryWithRelay } from "./relay-run.ts";
import { emptied, insertBacklog, type Place, type Stage } from "./stage.ts";
import { TopicWatch } from "./topic-watch.ts";
import { alternate } from "./turns.ts";
import { type Say, warmUp } from "./warm-up.ts";

export const bloatSides = ["free", "held"] as const;
export type BloatSide = (typeof bloatSides)[number];

export interface BloatFigures {
  readonly ms: Quantiles;
  /** Pages that a claim reads, at equal distances from the begin of the load to its end. */
  readonly buffersAPoll: readonly number[];
  readonly deadRows: number;
  /** Of the backlog that was written at the end, with all of that around. */
  readonly eventsPerSecond: number;
}

export interface BloatBench {
  readonly seconds: number;
  readonly eventsPerSecond: number;
  readonly backlog: number;
  readonly figures: Readonly<Record<BloatSide, readonly BloatFigures[]>>;
  /** The pace of the backlog with the snapshot held, by that without. */
  readonly paceRatio: Spread;
  readonly rounds: number;
}

const samplesMax = 10;

export async function benchBloat(stage: Stage, options: BenchOptions, say: Say): Promise<BloatBench> {
  const { rate, seconds, rounds, events } = options;
  const empty = await stage.fill({ ...options, events: 0 });
  const load = { ...options, eventsPerSecond: rate };
  await warmUp(stage, say, empty, load, (place) => carryWithRelay(place, "at-least-once"));
  const figures: Record<BloatSide, BloatFigures[]> = { free: [], held: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const side of alternate(bloatSides, round)) {
      const one = await stage.within(empty, async (place) => {
        const vacuum = new Vacuum(place, side === "held", options);
        const { ms } = await measureLatency(
          place,
          load,
          () => carryWithRelay(place, "at-least-once"),
          vacuum,
        );
        return { ms, ...vacuum.figures };
      });
      figures[side].push(one);
      say(
        `round ${round + 1}: ${side}: p50 ${one.ms.p50}, p99 ${one.ms.p99} ms, ${one.buffersAPoll.join(" ")} buffers a poll, ${one.deadRows} dead rows, then ${rounded(one.eventsPerSecond)} events/s`,
      );
    }
  }
  const paceOf = (side: BloatSide) => figures[side].map(({ eventsPerSecond }) => eventsPerSecond);
  const paceRatio = ratioOf(paceOf("held"), paceOf("free"));
  return { seconds, eventsPerSecond: rate, backlog: events, figures, paceRatio, rounds };
}

/** Holds vacuum back, or does not, and looks at what a claim reads meanwhile. */
class Vacuum implements Company {
  readonly #place: Place;
  readonly #isHeld: boolean;
  readonly #options: BenchOptions;
  readonly #samples: number[] = [];
  readonly #over = new AbortController();
  #clients: readonly [pg.Client, pg.Client] | undefined;
  #sampling: Promise<void> = Promise.resolve();
  #rest = { deadRows: 0, eventsPerSecond: 0 };

  constructor(place: Place, isHeld: boolean, options: BenchOptions) {
    this.#place = place;
    this.#isHeld = isHeld;
    this.#options = options;
  }

  get figures(): Omit<BloatFigures, "ms"> {
    return { buffersAPoll: this.#samples, ...this.#rest };
  }

  async start(): Promise<void> {
    const [holder, asker] = [this.#client(), this.#client()];
    this.#clients = [holder, asker];
    await Promise.all([holder.connect(), asker.connect()]);
    if (this.#isHeld) {
      await holder.query("begin isolation level repeatable read");
      await holder.query("select from undispatched_events limit 1");
    }
    this.#sampling = this.#sample(asker);
  }

  #client(): pg.Client {
    return new pg.Client({ connectionString: this.#place.databaseUrl, application_name: "bench" });
  }

  async #sample(client: pg.Client): Promise<void> {
    const pauseMs = (this.#options.seconds * 1_000) / samplesMax;
    while (!this.#over.signal.aborted) {
      await systemClock.sleep(pauseMs, this.#over.signal);
      this.#samples.push(await buffersOfClaim(client));
    }
  }

  /** The load is over: a backlog on top of what it has left behind. */
  async end(): Promise<void> {
    this.#over.abort();
    await this.#sampling;
    const [holder, asker] = this.#clients ?? [];
    if (holder === undefined || asker === undefined) return;
    await emptied(asker);
    const { rows } = await asker.query<{ dead: number }>(
      "select pg_stat_get_dead_tuples('undispatched_events'::regclass)::int as dead",
    );
    this.#rest = { deadRows: rows[0]?.dead ?? 0, eventsPerSecond: await this.#drainBacklog(asker) };
    await Promise.all([holder.end(), asker.end()]);
  }

  /** Watches the topic: whoever asks a table full of dead rows whether it is empty reads all of them each time. */
  async #drainBacklog(asker: pg.Client): Promise<number> {
    const { events } = this.#options;
    const watch = await TopicWatch.open(this.#place);
    try {
      const before = await watch.records();
      await insertBacklog(asker, this.#options, -events, -1);
      const startedMs = machineMs();
      const marks = await watch.follow(before + events);
      await emptied(asker);
      return (events / ((marks.at(-1)?.ms ?? Number.NaN) - startedMs)) * 1_000;
    } finally {
      await watch.close();
    }
  }
}

/** A cursor as far back as an idle relay's would be at most. */
const cursorAgeMicros = 1_000_000;

interface Plan {
  readonly "Shared Hit Blocks": number;
  readonly "Shared Read Blocks": number;
}

/** The relay's own claim, with cursors a second old. Explained only: what it finds stays where it is. */
async function buffersOfClaim(client: pg.Client): Promise<number> {
  const now = await client.query<{ us: string }>(
    "select (extract(epoch from clock_timestamp()) * 1e6)::bigint as us",
  );
  const fence = Number(now.rows[0]?.us);
  const { rows } = await client.query<{ "QUERY PLAN": [{ Plan: Plan }] }>(
    `explain (analyze, buffers, format json) ${claimStatement("undispatched_events", "json")}`,
    [
      allShards,
      allShards.map(() => isoOfMicros(fence - cursorAgeMicros)),
      allShards.map(() => 0),
      allShards.map(() => isoOfMicros(fence)),
      2_000,
      2_000,
      4_000_000,
      8_000_000,
      allShards.map(() => anySlot),
    ],
  );
  const plan = rows[0]?.["QUERY PLAN"][0].Plan;
  return plan === undefined ? Number.NaN : plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
}

/** What the first and the last third of the samples have in the middle: it should not have grown. */
export function growthOf({ buffersAPoll }: BloatFigures): number {
  const third = Math.max(1, Math.floor(buffersAPoll.length / 3));
  return rounded(median(buffersAPoll.slice(-third)) / median(buffersAPoll.slice(0, third)), 2);
}
