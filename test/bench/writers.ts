/**
 * What an event costs the transaction that writes it. Every side runs the same business transaction (a row is
 * updated, a row is inserted); what it writes beside that is:
 *
 *     none       nothing
 *     bare       a table of the four columns, with its primary key and an index on created_at
 *     outbox     Outrider's table
 *     narrowed   Outrider's table, whose writers announce their shards
 */
import pg from "pg";
import { median, ratioOf, rounded, type Spread, spreadOf } from "../../src/foundation/figures.ts";
import { machineMs } from "./machine-clock.ts";
import type { BenchOptions } from "./options.ts";
import type { Place, Stage } from "./stage.ts";
import { alternate } from "./turns.ts";
import type { Say } from "./warm-up.ts";

export const writerSides = ["none", "bare", "outbox", "narrowed"] as const;
export type WriterSide = (typeof writerSides)[number];

/** Of one side in one round. */
interface Cost {
  /** Of PostgreSQL, in microseconds a transaction. */
  readonly cpuMicros: number;
  /** The middle one. */
  readonly transactionMs: number;
}

export interface WritersCase {
  readonly eventsPerTransaction: number;
  readonly cpuMicrosPerTransaction: Readonly<Record<WriterSide, Spread>>;
  readonly transactionMs: Readonly<Record<WriterSide, Spread>>;
  /** An event's processor time in PostgreSQL beyond the business transaction, by that of the bare table's. */
  readonly toBare: Readonly<Record<"outbox" | "narrowed", Spread>>;
}

export interface WritersBench {
  readonly cases: readonly WritersCase[];
  readonly rounds: number;
}

/**
 * The sides take turns within a round, a chunk each, because the machine's pace changes within seconds and what is
 * asked for is a difference of differences. Processor time is counted in ticks of 10 ms: a chunk has some fifty.
 */
const chunks = 8;
const transactionsPerChunk = 500;
const warmUps = 300;
const sizes = [1, 10];

export async function benchWriters(stage: Stage, options: BenchOptions, say: Say): Promise<WritersBench> {
  const plain = await stage.fill({ ...options, events: 0 });
  const narrowed = await stage.fill({ ...options, events: 0 }, { narrowFence: true });
  const cases: WritersCase[] = [];
  for (const eventsPerTransaction of sizes) {
    const costs = each((): Cost[] => []);
    for (let round = 0; round < options.rounds; round += 1) {
      const templates = each((side) => (side === "narrowed" ? narrowed : plain));
      const measured = await withPlaces(stage, templates, (places) =>
        measureRound(stage, places, { ...options, eventsPerTransaction }),
      );
      for (const side of writerSides) {
        const { cpuMicros, transactionMs } = measured[side];
        costs[side].push(measured[side]);
        const cost = `${rounded(cpuMicros)} µs of processor, ${rounded(transactionMs, 2)} ms`;
        say(`round ${round + 1}: ${eventsPerTransaction} event(s), ${side}: ${cost}`);
      }
    }
    cases.push(summarize(eventsPerTransaction, costs));
  }
  return { cases, rounds: options.rounds };
}

/** A place for every side at the same time. */
function withPlaces<T>(
  stage: Stage,
  templates: Readonly<Record<WriterSide, string>>,
  work: (places: Readonly<Record<WriterSide, Place>>) => Promise<T>,
): Promise<T> {
  const places = new Map<WriterSide, Place>();
  const open = ([side, ...rest]: readonly WriterSide[]): Promise<T> => {
    if (side === undefined) return work(each((one) => places.get(one) as Place));
    return stage.within(templates[side], (place) => {
      places.set(side, place);
      return open(rest);
    });
  };
  return open(writerSides);
}

async function measureRound(
  stage: Stage,
  places: Readonly<Record<WriterSide, Place>>,
  options: BenchOptions,
): Promise<Record<WriterSide, Cost>> {
  const writers = each((side) => new Writer(side, places[side], options));
  for (const side of writerSides) await writers[side].open();
  const micros = each(() => 0);
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    for (const side of alternate(writerSides, chunk)) {
      const before = stage.processorMicros().postgres;
      await writers[side].write(transactionsPerChunk);
      micros[side] += stage.processorMicros().postgres - before;
    }
  }
  for (const side of writerSides) await writers[side].close();
  return each((side) => ({
    cpuMicros: micros[side] / (chunks * transactionsPerChunk),
    transactionMs: median(writers[side].timesMs),
  }));
}

function each<T>(make: (side: WriterSide) => T): Record<WriterSide, T> {
  return { none: make("none"), bare: make("bare"), outbox: make("outbox"), narrowed: make("narrowed") };
}

const tables: Readonly<Record<Exclude<WriterSide, "none">, string>> = {
  bare: "bare_events",
  outbox: "undispatched_events",
  narrowed: "undispatched_events",
};

const business = `
  create table accounts (id int primary key, balance bigint not null);
  create table bookings (id bigint generated always as identity primary key, account int not null, amount int not null);
  insert into accounts select n, 0 from generate_series(0, 999) as n;
  create table bare_events (
    event_id uuid primary key default gen_random_uuid(), aggregate_id text not null,
    created_at timestamptz not null default clock_timestamp(), event_payload json not null);
  create index on bare_events (created_at);
  vacuum analyze accounts`;

class Writer {
  readonly timesMs: number[] = [];
  readonly #side: WriterSide;
  readonly #client: pg.Client;
  readonly #options: BenchOptions;
  readonly #payload: string;
  #count = 0;

  constructor(side: WriterSide, { databaseUrl }: Place, options: BenchOptions) {
    this.#side = side;
    this.#client = new pg.Client({ connectionString: databaseUrl });
    this.#options = options;
    this.#payload = JSON.stringify({ pad: "x".repeat(Math.max(0, options.payloadBytes - 10)) });
  }

  async open(): Promise<void> {
    await this.#client.connect();
    for (const statement of business.split(";\n")) await this.#client.query(statement);
    await this.write(warmUps);
    this.timesMs.length = 0;
  }

  async write(transactions: number): Promise<void> {
    for (let done = 0; done < transactions; done += 1) {
      const startedMs = machineMs();
      await this.#writeOne(this.#count);
      this.timesMs.push(machineMs() - startedMs);
      this.#count += 1;
    }
  }

  async #writeOne(n: number): Promise<void> {
    const { eventsPerTransaction, aggregates } = this.#options;
    const client = this.#client;
    await client.query("begin");
    await client.query("update accounts set balance = balance + 1 where id = $1", [n % 1_000]);
    await client.query("insert into bookings (account, amount) values ($1, 1)", [n % 1_000]);
    if (this.#side !== "none") {
      const ids = Array.from(
        { length: eventsPerTransaction },
        (_, at) => `aggregate-${(n + at * 7) % aggregates}`,
      );
      await client.query(
        `insert into ${tables[this.#side]} (aggregate_id, event_payload) select id, $2::json from unnest($1::text[]) as id`,
        [ids, this.#payload],
      );
    }
    await client.query("commit");
  }

  async close(): Promise<void> {
    await this.#client.end();
  }
}

function summarize(
  eventsPerTransaction: number,
  costs: Readonly<Record<WriterSide, readonly Cost[]>>,
): WritersCase {
  const cpu = (side: WriterSide) => costs[side].map(({ cpuMicros }) => cpuMicros);
  const beyond = (side: WriterSide) =>
    cpu(side).map((micros, round) => micros - (cpu("none")[round] as number));
  return {
    eventsPerTransaction,
    cpuMicrosPerTransaction: each((side) => spreadOf(cpu(side), 1)),
    transactionMs: each((side) =>
      spreadOf(
        costs[side].map(({ transactionMs }) => transactionMs),
        2,
      ),
    ),
    toBare: {
      outbox: ratioOf(beyond("outbox"), beyond("bare")),
      narrowed: ratioOf(beyond("narrowed"), beyond("bare")),
    },
  };
}
