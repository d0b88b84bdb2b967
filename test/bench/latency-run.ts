/** From the commit to the consumer: a writer, a relay and a reader, each a process of its own. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import type { Quantiles } from "../../src/foundation/figures.ts";
import { quantilesOf } from "../../src/foundation/figures.ts";
import type { Received } from "./latency-reader.ts";
import type { Load, Written } from "./latency-writer.ts";
import { emptied, type Place } from "./stage.ts";

export interface LatencyFigures {
  /** Milliseconds from the answer to the commit to the consumer's batch. */
  readonly ms: Quantiles;
  readonly eventsPerSecond: number;
  readonly duplicates: number;
}

/** How the events get from the table to the topic. */
export interface Carrier {
  readonly started: Promise<unknown>;
  /** Of its process, once it has started. */
  pid(): Promise<number>;
  /** Resolves when so many events have come through; by default, when the table is empty. */
  carried?(events: number): Promise<void>;
  end(): Promise<unknown>;
}

/** Somebody else who writes while it is measured. */
export interface Company {
  start(): Promise<void>;
  end(): Promise<void>;
}

/**
 * Events of the first so many seconds do not count: every process compiles its code then, V8 for some ten seconds
 * and a JVM for longer, and whoever is measured too early looks better than its neighbour by its compiler alone.
 */
const warmUpSeconds = 20;
const primingEvents = 20_000;
const deadlineMs = 60_000;

export async function measureLatency(
  place: Place,
  load: Omit<Load, "databaseUrl">,
  startCarrier: () => Carrier,
  company?: Company,
): Promise<LatencyFigures> {
  const reader = child("latency-reader.ts");
  const writer = child("latency-writer.ts");
  const carrier = startCarrier();
  try {
    reader.send({ type: "read", brokers: place.brokers, topic: place.topic });
    await Promise.all([answerOf<"ready">(reader, "the reader"), carrier.started]);
    await prime(place, carrier);
    await company?.start();
    const seconds = load.seconds + warmUpSeconds;
    writer.send({ ...load, seconds, databaseUrl: place.databaseUrl });
    const written = await answerOf<Written>(writer, "the writer", seconds * 1000);
    await company?.end();
    const receiving = answerOf<Received>(reader, "the reader");
    reader.send({ type: "expect", events: written.committedMs.length });
    const { receivedMs, duplicates } = await receiving;
    const counted = Math.floor((written.committedMs.length * warmUpSeconds) / seconds);
    const waits = written.committedMs.map((ms, n) => Math.max(0, (receivedMs[n] ?? Number.NaN) - ms));
    return {
      ms: quantilesOf(waits.slice(counted)),
      eventsPerSecond: written.committedMs.length / written.seconds,
      duplicates,
    };
  } finally {
    reader.kill("SIGKILL");
    writer.kill("SIGKILL");
    await carrier.end();
  }
}

/**
 * Events for every shard, and nothing else until all of them are gone. What a carrier does before its first
 * event (taking over transactional producers, for one) is no latency of the events after it; and one
 * that has run for a day has its code compiled, which takes seconds of processor time.
 */
export async function prime({ databaseUrl }: Place, carrier: Carrier): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query(
      `insert into undispatched_events (aggregate_id, event_payload)
       select 'prime-' || n % 512, '{"n": -1}' from generate_series(1, $1::int) as n`,
      [primingEvents],
    );
    if (carrier.carried !== undefined) return await carrier.carried(primingEvents);
    await emptied(client);
  } finally {
    await client.end();
  }
}

export function child(file: string): ChildProcess {
  return fork(fileURLToPath(new URL(file, import.meta.url)), { serialization: "advanced" });
}

/** The next message of a child; rejects when it ends without one, or takes too long. */
export async function answerOf<T>(process: ChildProcess, name: string, extraMs = 0): Promise<T> {
  const over = new AbortController();
  const { signal } = over;
  try {
    return await Promise.race([
      once(process, "message", { signal }).then(([message]) => message as T),
      once(process, "exit", { signal }).then(() => Promise.reject(new Error(`${name} ended early`))),
      systemClock
        .sleep(deadlineMs + extraMs, signal)
        .then(() => Promise.reject(new Error(`${name} is late`))),
    ]);
  } finally {
    over.abort();
  }
}
