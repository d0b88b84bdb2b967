/**
 * Concurrent applications: every transaction inserts a few events, several writers share an
 * aggregate, commits come late and interleave, some transactions are rolled back. What was committed,
 * with its positions, is read back in the same transactions: that is the truth.
 */
import pg from "pg";
import type { Truth } from "./order.ts";

export interface Load {
  readonly url: string;
  readonly writers: number;
  readonly events: number;
  /** How many, or which. */
  readonly aggregates: number | readonly string[];
  /** Longest time a transaction stays open after an insert. */
  readonly holdMsMax: number;
  readonly topic?: string;
  readonly seed: number;
}

/** A small seeded generator (mulberry32): a run that failed can be run again. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function anyOf(aggregates: Load["aggregates"], random: () => number): string {
  if (typeof aggregates === "number") return `aggregate-${Math.floor(random() * aggregates)}`;
  return aggregates[Math.floor(random() * aggregates.length)] as string;
}

interface InsertedRow {
  readonly event_id: string;
  readonly aggregate_id: string;
  readonly created_at: string;
  readonly seq: string;
}

/** Runs until about `events` rows are committed; returns all of them. */
export async function writeConcurrently(load: Load): Promise<Truth[]> {
  const committed: Truth[] = [];
  let wanted = load.events;
  const writer = async (number: number) => {
    const random = seeded(load.seed * 1_000 + number);
    const client = new pg.Client({ connectionString: load.url, application_name: `writer ${number}` });
    await client.connect();
    while (wanted > 0) {
      const rows = 1 + Math.floor(random() * 3);
      wanted -= rows;
      const own = await writeOnce(client, load, rows, random);
      if (own !== undefined) committed.push(...own);
      else wanted += rows;
    }
    await client.end();
  };
  await Promise.all(Array.from({ length: load.writers }, (_, number) => writer(number)));
  return committed;
}

async function writeOnce(
  client: pg.Client,
  load: Load,
  rows: number,
  random: () => number,
): Promise<Truth[] | undefined> {
  const own: Truth[] = [];
  await client.query("begin");
  for (let n = 0; n < rows; n += 1) {
    const aggregateId = anyOf(load.aggregates, random);
    const { rows: inserted } = await client.query<InsertedRow>(
      `insert into undispatched_events (aggregate_id, event_payload, topic) values ($1, $2, $3)
       returning event_id, aggregate_id, to_json(created_at)#>>'{}' as created_at, seq`,
      [aggregateId, JSON.stringify({ n, pad: "x".repeat(Math.floor(random() * 200)) }), load.topic ?? null],
    );
    for (const row of inserted) {
      own.push({
        eventId: row.event_id,
        aggregateId: row.aggregate_id,
        createdAt: row.created_at,
        seq: row.seq,
      });
    }
    if (random() < 0.7) await client.query("select pg_sleep($1)", [(random() * load.holdMsMax) / 1000]);
  }
  const isKept = random() > 0.1;
  await client.query(isKept ? "commit" : "rollback");
  return isKept ? own : undefined;
}
