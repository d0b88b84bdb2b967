/** What a benchmark is told on the command line; every figure has a default that fits into some minutes. */
import { parseArgs } from "node:util";

export interface BenchOptions {
  readonly name: string;
  /** The figures as one JSON object on the last line, instead of a table. */
  readonly isJson: boolean;
  /** Writes docs/bench/<name>.md, .svg and .json. */
  readonly isWritten: boolean;
  /** Puts Debezium beside the relay as well, where a benchmark knows how: fetched with Maven, and slow to start. */
  readonly isWithPeers: boolean;
  /** Rows of the backlog. */
  readonly events: number;
  readonly aggregates: number;
  readonly payloadBytes: number;
  /** Rows of the backlogs that are compared with it, where a benchmark does that. */
  readonly backlogs: readonly number[];
  readonly rounds: number;
  readonly batches: readonly number[];
  /** Events a second, and how long, where latency is measured. */
  readonly rate: number;
  readonly seconds: number;
  readonly eventsPerTransaction: number;
  /** Transactions that stay open at a time, and how long each of them. */
  readonly writers: number;
  readonly holdMs: number;
  readonly kills: number;
  /** Values of max_connections that a server is started with. */
  readonly connections: readonly number[];
  readonly leaseTtlMs: number;
  /** Of the parts of a benchmark, only these; all of them when empty. */
  readonly only: readonly string[];
}

const defaults = {
  events: "100000",
  aggregates: "1000",
  bytes: "300",
  rounds: "3",
  backlogs: "10000,1000000",
  batches: "100,1000,5000",
  rate: "1000",
  seconds: "15",
  transaction: "4",
  writers: "16",
  hold: "50",
  kills: "5",
  connections: "100,1000,5000",
  ttl: "2000",
  only: "",
};

export function readOptions(args: readonly string[]): BenchOptions {
  const texts = Object.fromEntries(
    Object.entries(defaults).map(([name, fallback]) => [
      name,
      { type: "string", default: fallback } as const,
    ]),
  ) as Record<keyof typeof defaults, { readonly type: "string"; readonly default: string }>;
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...texts,
      json: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
      peers: { type: "boolean", default: false },
    },
  });
  const count = (name: keyof typeof defaults): number => countOf(`--${name}`, values[name]);
  return {
    name: positionals[0] ?? "",
    isJson: values.json,
    isWritten: values.write,
    isWithPeers: values.peers,
    events: count("events"),
    aggregates: count("aggregates"),
    payloadBytes: count("bytes"),
    rounds: count("rounds"),
    backlogs: values.backlogs.split(",").map((text) => countOf("--backlogs", text)),
    batches: values.batches.split(",").map((text) => countOf("--batches", text)),
    rate: count("rate"),
    seconds: count("seconds"),
    eventsPerTransaction: count("transaction"),
    writers: count("writers"),
    holdMs: count("hold"),
    kills: count("kills"),
    connections: values.connections.split(",").map((text) => countOf("--connections", text)),
    leaseTtlMs: count("ttl"),
    only: values.only.split(",").filter(Boolean),
  };
}

function countOf(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`${flag} must be a whole number above zero, not "${text}"`);
}
