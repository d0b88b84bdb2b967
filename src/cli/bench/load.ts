/** What is written for a bench: a backlog at once, and events at a steady rate. */
import type pg from "pg";
import type { Clock } from "../../foundation/clock.ts";

export interface Load {
  readonly aggregates: number;
  /** Of a payload. */
  readonly bytes: number;
  /** Events a second. */
  readonly rate: number;
  readonly seconds: number;
}

export interface LoadParts {
  readonly schema: string;
  readonly clock: Clock;
  connect(): Promise<pg.Client>;
}

const eventsPerTransaction = 4;
const connections = 8;

/** Rows of a backlog have the number -1. */
export async function fillBacklog(
  client: pg.Client,
  schema: string,
  { events, aggregates, bytes }: Pick<Load, "aggregates" | "bytes"> & { readonly events: number },
): Promise<void> {
  await client.query("set statement_timeout = 0");
  await client.query(
    `insert into ${schema}.undispatched_events (aggregate_id, event_payload)
     select 'aggregate-' || n % $2::int, $3::text::json from generate_series(1, $1::int) as n`,
    [events, aggregates, payloadOf(-1, bytes)],
  );
  await client.query(`analyze ${schema}.undispatched_events`);
}

function payloadOf(n: number, bytes: number): string {
  return `{"n":${n},"pad":"`.padEnd(bytes - 2, "x").concat('"}');
}

export function numberOf(payload: string | Uint8Array): number {
  const text = typeof payload === "string" ? payload : Buffer.from(payload).toString();
  return (JSON.parse(text) as { n: number }).n;
}

/**
 * Small transactions, kept to the rate by the clock and not by their answers: a slow commit delays none of the
 * later ones. Resolves to when each event was committed, by its number, on the monotonic clock.
 */
export async function writeSteadily(
  load: Load,
  parts: LoadParts,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const { clock } = parts;
  const all = await Promise.all(Array.from({ length: connections }, () => parts.connect()));
  const idle = [...all];
  const waiting: ((client: pg.Client) => void)[] = [];
  const committedMs: number[] = [];
  const running: Promise<void>[] = [];
  const transactions = Math.max(1, Math.round((load.rate * load.seconds) / eventsPerTransaction));
  const pauseMs = (eventsPerTransaction / load.rate) * 1_000;
  const startedMs = clock.monotonicMs();
  try {
    for (let n = 0; n < transactions && !signal.aborted; n += 1) {
      const earlyMs = startedMs + n * pauseMs - clock.monotonicMs();
      if (earlyMs > 0) await clock.sleep(earlyMs, signal);
      const client = idle.pop() ?? (await new Promise<pg.Client>((resolve) => waiting.push(resolve)));
      const writing = writeOne(client, load, n * eventsPerTransaction, parts.schema).then((first) => {
        const nowMs = clock.monotonicMs();
        for (let at = 0; at < eventsPerTransaction; at += 1) committedMs[first + at] = nowMs;
      });
      running.push(writing);
      const giveBack = () => {
        const next = waiting.shift();
        if (next === undefined) idle.push(client);
        else next(client);
      };
      writing.then(giveBack, giveBack);
    }
    await Promise.all(running);
    signal.throwIfAborted();
  } finally {
    await Promise.allSettled(running);
    await Promise.all(all.map((client) => client.end()));
  }
  return committedMs;
}

async function writeOne(client: pg.Client, load: Load, first: number, schema: string): Promise<number> {
  const numbers = Array.from({ length: eventsPerTransaction }, (_, at) => first + at);
  await client.query("begin");
  await client.query(
    `insert into ${schema}.undispatched_events (aggregate_id, event_payload)
     select aggregate_id, event_payload from unnest($1::text[], $2::json[]) as e (aggregate_id, event_payload)`,
    [
      numbers.map((n) => `aggregate-${(n * 7_919) % load.aggregates}`),
      numbers.map((n) => payloadOf(n, load.bytes)),
    ],
  );
  await client.query("commit");
  return first;
}
