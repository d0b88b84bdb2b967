/**
 * Relay and loop take turns, each on a database and a topic of its own:
 *
 *     backlog ─► started ─► empty: events a second ─► consumer has caught up ─► steady writes: latency
 */
import { randomBytes } from "node:crypto";
import { OutriderError } from "../../foundation/errors.ts";
import { type Quantiles, quantilesOf } from "../../foundation/figures.ts";
import { kafkaOptionsOf, parseSettings } from "../../service/config.ts";
import { KafkaReception } from "../trial/kafka-reception.ts";
import { type RealParts, startParts } from "../trial/real-parts.ts";
import { RelayProcess } from "../trial/relay-process.ts";
import type { TrialTools } from "../trial/run-trial.ts";
import {
  connectTo,
  createScratchDatabase,
  prepareOutbox,
  type ScratchDatabase,
} from "../trial/scratch-database.ts";
import { UndoList } from "../trial/undo-list.ts";
import { fillBacklog, type Load, numberOf, writeSteadily } from "./load.ts";

export const sides = ["relay", "loop"] as const;
export type Side = (typeof sides)[number];

export interface BenchOptions extends Load {
  readonly events: number;
  readonly rounds: number;
}

/** Of one turn of one side. */
export interface Turn {
  /** From its start to the last row deleted. */
  readonly eventsPerSecond: number;
  /** From the answer to the commit to the consumer, in milliseconds. */
  readonly latencyMs: Quantiles;
}

export interface BenchFigures extends BenchOptions {
  readonly turns: Readonly<Record<Side, readonly Turn[]>>;
}

/** Nothing new for so long: then something is wrong, and waiting does not help. */
const stalledAfterMs = 60_000;
const checkEveryMs = 20;
/** Written and not counted: whatever compiles itself late does it then. */
const warmUpSeconds = 2;

/** @throws what ended it early; what was made is on the lists of things to undo. */
export async function runBench(options: BenchOptions, tools: TrialTools): Promise<BenchFigures> {
  const parts = await startParts("kafka", tools);
  const turns: Record<Side, Turn[]> = { relay: [], loop: [] };
  for (let round = 0; round < options.rounds; round += 1) {
    for (const side of round % 2 === 0 ? sides : [...sides].reverse()) {
      const turn = await takeTurn(side, options, tools, parts);
      turns[side].push(turn);
      const { p50, p99 } = turn.latencyMs;
      const pace = `${Math.round(turn.eventsPerSecond)} events/s, latency p50 ${p50} ms, p99 ${p99} ms`;
      tools.progress.say(`round ${round + 1}: ${side}: ${pace}`);
    }
  }
  return { ...options, turns };
}

/** Undoes what it made before the next turn, and on the way out of an error. */
async function takeTurn(
  side: Side,
  options: BenchOptions,
  tools: TrialTools,
  parts: RealParts,
): Promise<Turn> {
  const undoList = new UndoList();
  try {
    return await new TurnRun(side, options, { ...tools, undoList }, parts).run();
  } finally {
    for (const failure of await undoList.undoAll()) tools.progress.say(failure);
  }
}

class TurnRun {
  readonly #side: Side;
  readonly #options: BenchOptions;
  readonly #tools: TrialTools;
  readonly #parts: RealParts;
  readonly #name = `outrider-bench-${randomBytes(5).toString("hex")}`;
  readonly #receivedMs: number[] = [];
  #received = 0;

  constructor(side: Side, options: BenchOptions, tools: TrialTools, parts: RealParts) {
    this.#side = side;
    this.#options = options;
    this.#tools = tools;
    this.#parts = parts;
  }

  async run(): Promise<Turn> {
    const { undoList, clock, progress } = this.#tools;
    const database = await createScratchDatabase(this.#parts.environment, "bench");
    undoList.add("drop the database of this turn", () => database.drop());
    await prepareOutbox(database, (client) => fillBacklog(client, database.schema, this.#options));
    const reception = this.#reception();
    undoList.add("delete the topic of this turn", () => reception.deleteTopics());
    await reception.createTopics();
    await this.#startCarrier(database);
    const startedMs = clock.monotonicMs();
    await this.#emptied(database);
    const seconds = (clock.monotonicMs() - startedMs) / 1_000;
    undoList.add("stop the consumer", () => reception.stop());
    await this.#unlessEnded(reception.start());
    await reception.drain(this.#tools.ending.signal);
    progress.say(`${this.#side}: backlog gone after ${seconds.toFixed(1)} s, measuring latency`);
    return { eventsPerSecond: this.#options.events / seconds, latencyMs: await this.#latency(database) };
  }

  #reception(): KafkaReception {
    return new KafkaReception({
      options: kafkaOptionsOf(parseSettings(this.#parts.environment).settings),
      topics: [this.#name],
      groupId: this.#name,
      onArrival: ({ payload }) => this.#receive(numberOf(payload)),
      onFailed: (error) => this.#tools.ending.abort(error),
    });
  }

  #receive(n: number): void {
    if (n < 0 || this.#receivedMs[n] !== undefined) return;
    this.#receivedMs[n] = this.#tools.clock.monotonicMs();
    this.#received += 1;
  }

  async #startCarrier({ environment }: ScratchDatabase): Promise<void> {
    const { clock, undoList, progress, ending } = this.#tools;
    const told = {
      ...environment,
      OUTRIDER_PUBLISHER: "kafka",
      OUTRIDER_TOPIC_DEFAULT: this.#name,
      OUTRIDER_TOPIC_TEMPLATE: this.#name,
    };
    const listener = {
      onRemark: (message: string) => progress.say(`${this.#side}: ${message}`),
      onEnded: (error: OutriderError) => ending.abort(error),
    };
    const carrier = new RelayProcess(told, listener, this.#side === "relay" ? "relay" : "bench-loop");
    undoList.add(`stop the ${this.#side}`, () => carrier.stop(clock));
    await this.#unlessEnded(carrier.started);
  }

  /** By the index, so that asking costs next to nothing however many rows were deleted in front. */
  async #emptied({ environment, schema }: ScratchDatabase): Promise<void> {
    const { clock, ending } = this.#tools;
    const client = await connectTo(environment);
    const first = `select seq from ${schema}.undispatched_events order by shard, created_at, seq limit 1`;
    try {
      for (let [last, movedMs] = ["", clock.monotonicMs()]; ; ) {
        ending.signal.throwIfAborted();
        const { rows } = await client.query<{ seq: string }>(first);
        const [row] = rows;
        if (row === undefined) return;
        if (row.seq !== last) [last, movedMs] = [row.seq, clock.monotonicMs()];
        if (clock.monotonicMs() - movedMs > stalledAfterMs)
          throw stalled(this.#side, "deletes nothing any more");
        await clock.sleep(checkEveryMs, ending.signal);
      }
    } finally {
      await client.end();
    }
  }

  async #latency(database: ScratchDatabase): Promise<Quantiles> {
    const { clock, ending } = this.#tools;
    const seconds = this.#options.seconds + warmUpSeconds;
    const load = { ...this.#options, seconds };
    const connect = () => connectTo(database.environment);
    const committedMs = await writeSteadily(load, { schema: database.schema, clock, connect }, ending.signal);
    for (let [received, movedMs] = [-1, 0]; this.#received < committedMs.length; ) {
      ending.signal.throwIfAborted();
      if (this.#received !== received) [received, movedMs] = [this.#received, clock.monotonicMs()];
      if (clock.monotonicMs() - movedMs > stalledAfterMs)
        throw stalled(this.#side, "publishes nothing any more");
      await clock.sleep(checkEveryMs, ending.signal);
    }
    const counted = Math.floor((committedMs.length * warmUpSeconds) / seconds);
    const waits = committedMs.map((ms, n) => Math.max(0, (this.#receivedMs[n] ?? Number.NaN) - ms));
    return quantilesOf(waits.slice(counted));
  }

  /** What may wait for ever is left alone once the run has ended. */
  async #unlessEnded<T>(waiting: Promise<T>): Promise<T> {
    const { signal } = this.#tools.ending;
    signal.throwIfAborted();
    return Promise.race([
      waiting,
      new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
    ]);
  }
}

function stalled(side: Side, what: string): OutriderError {
  return new OutriderError("RELAY_ENDED", `the ${side} ${what}: nothing in ${stalledAfterMs} ms`);
}
