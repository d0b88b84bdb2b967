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
import { median, ratioOf, rounded, type Spread, spreadOf } from "./figures.ts";
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

/** Their processor time is counted in ticks of 10 ms: enough of them for a hundredth. */
const transactions = 3_000;
const warmUps = 300;
const sizes = [1, 10];

export async function benchWriters(stage: Stage, options: BenchOptions, say: Say): Promise<WritersBench> {
  const plain = await stage.fill({ ...options, events: 0 });
  const narrowed = await stage.fill({ ...options, events: 0 }, { narrowFence: true });
  const cases: WritersCase[] = [];
  for (const eventsPerTransaction of sizes) {
    const costs = each((): Cost[] => []);
    for (let round = 0; round < options.rounds; round += 1) {
      for (const side of alternate(writerSides, round)) {
        const template = side === "narrowed" ? narrowed : plain;
        const cost = await stage.within(template, (place) =>
          write(stage, place, side, { ...options, eventsPerTransaction }),
        );
        costs[side].push(cost);
        say(
          `round ${round + 1}: ${eventsPerTransaction} event(s), ${side}: ${rounded(cost.cpuMicros)} µs of processor, ${rounded(cost.transactionMs, 2)} ms`,
        );
      }
    }
    cases.push(summarize(eventsPerTransaction, costs));
  }
  return { cases, rounds: options.rounds };
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

async function write(
  stage: Stage,
  { databaseUrl }: Place,
  side: WriterSide,
  { eventsPerTransaction, payloadBytes, aggregates }: BenchOptions,
): Promise<Cost> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  for (const statement of business.split(";\n")) await client.query(statement);
  const payload = JSON.stringify({ pad: "x".repeat(Math.max(0, payloadBytes - 10)) });
  const once = async (n: number): Promise<number> => {
    const startedMs = machineMs();
    await client.query("begin");
    await client.query("update accounts set balance = balance + 1 where id = $1", [n % 1_000]);
    await client.query("insert into bookings (account, amount) values ($1, 1)", [n % 1_000]);
    if (side !== "none") {
      const ids = Array.from(
        { length: eventsPerTransaction },
        (_, at) => `aggregate-${(n + at * 7) % aggregates}`,
      );
      await client.query(
        `insert into ${tables[side]} (aggregate_id, event_payload) select id, $2::json from unnest($1::text[]) as id`,
        [ids, payload],
      );
    }
    await client.query("commit");
    return machineMs() - startedMs;
  };
  for (let n = 0; n < warmUps; n += 1) await once(n);
  const before = stage.processorMicros().postgres;
  const times: number[] = [];
  for (let n = 0; n < transactions; n += 1) times.push(await once(n));
  const cpuMicros = (stage.processorMicros().postgres - before) / transactions;
  await client.end();
  return { cpuMicros, transactionMs: median(times) };
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
