/**
 * A process of its own that writes events at a steady rate and remembers when each was committed. The
 * rate is kept by the clock, not by the answers: a slow commit delays none of the later ones.
 *
 * Told what to do by one message, answers with one. Times are of the machine's monotonic clock, which all
 * its processes share.
 */
import pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import { machineMs } from "./machine-clock.ts";

export interface Load {
  readonly databaseUrl: string;
  readonly eventsPerSecond: number;
  readonly eventsPerTransaction: number;
  readonly seconds: number;
  readonly aggregates: number;
  readonly payloadBytes: number;
}

export interface Written {
  /** When the writer was told of the commit; by the number in the payload. */
  readonly committedMs: readonly number[];
  readonly seconds: number;
}

const connections = 12;

async function write(load: Load): Promise<Written> {
  const idle = await Promise.all(Array.from({ length: connections }, () => open(load.databaseUrl)));
  const all = [...idle];
  const transactions = Math.round((load.eventsPerSecond * load.seconds) / load.eventsPerTransaction);
  const committedMs: number[] = [];
  const running: Promise<void>[] = [];
  const waiting: ((client: pg.Client) => void)[] = [];
  const startedMs = machineMs();
  const pauseMs = (load.eventsPerTransaction / load.eventsPerSecond) * 1000;
  for (let n = 0; n < transactions; n += 1) {
    const earlyMs = startedMs + n * pauseMs - machineMs();
    if (earlyMs > 0) await systemClock.sleep(earlyMs);
    const client = idle.pop() ?? (await new Promise<pg.Client>((resolve) => waiting.push(resolve)));
    const done = writeOne(client, load, n * load.eventsPerTransaction, committedMs).then(() => {
      const next = waiting.shift();
      if (next === undefined) idle.push(client);
      else next(client);
    });
    running.push(done);
  }
  await Promise.all(running);
  const seconds = (machineMs() - startedMs) / 1000;
  await Promise.all(all.map((client) => client.end()));
  return { committedMs, seconds };
}

async function open(databaseUrl: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: "bench writer" });
  await client.connect();
  return client;
}

async function writeOne(client: pg.Client, load: Load, first: number, committedMs: number[]): Promise<void> {
  const numbers = Array.from({ length: load.eventsPerTransaction }, (_, at) => first + at);
  await client.query("begin");
  await client.query(
    `insert into undispatched_events (aggregate_id, event_payload)
     select aggregate_id, event_payload from unnest($1::text[], $2::json[]) as e (aggregate_id, event_payload)`,
    [
      numbers.map((n) => `aggregate-${(n * 7919) % load.aggregates}`),
      numbers.map((n) => JSON.stringify({ n, pad: "x".repeat(Math.max(0, load.payloadBytes - 24)) })),
    ],
  );
  await client.query("commit");
  const nowMs = machineMs();
  for (const n of numbers) committedMs[n] = nowMs;
}

process.once("message", (load) => {
  write(load as Load)
    .then((written) => process.send?.(written, () => process.disconnect()))
    .catch((error) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    });
});
