/**
 * The applications of a fault run: transactions of a few events each, held open for random moments, one
 * in ten rolled back. The same transaction writes what it inserts into `fault_audit`, so that table is
 * the truth about every commit, whatever its writer was told: a commit whose answer was lost is "info" in
 * the history, and in the audit or not.
 */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import { messageOf } from "../../src/foundation/errors.ts";
import { seeded } from "../support/writers.ts";
import type { History } from "./history.ts";

export interface LoadOptions {
  readonly url: string;
  readonly topic: string;
  readonly seed: number;
  readonly writers: number;
  readonly aggregates: number;
  /** Longest time a transaction stays open after an insert. */
  readonly holdMsMax: number;
  /** Longest pause of a writer between two transactions. */
  readonly pauseMsMax: number;
  /** Stands in every payload; must never turn up in a log. */
  readonly canary: string;
}

export const auditTable = `create table fault_audit (
  event_id uuid primary key, aggregate_id text not null, created_at timestamptz not null,
  seq bigint not null, payload_md5 text not null)`;

export const insertAudited = `with written as (
  insert into undispatched_events (event_id, aggregate_id, event_payload, topic)
  select * , $4 from unnest($1::uuid[], $2::text[], $3::json[])
  returning event_id, aggregate_id, created_at, seq, event_payload)
insert into fault_audit select event_id, aggregate_id, created_at, seq, md5(event_payload::text) from written`;

const reconnectMs = 100;

export class Load {
  readonly #options: LoadOptions;
  readonly #history: History;
  readonly #stopping = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(options: LoadOptions, history: History) {
    this.#options = options;
    this.#history = history;
    this.#running = Promise.all(Array.from({ length: options.writers }, (_, n) => this.#write(n)));
    this.#running.catch(() => undefined); // Thrown where `stop` awaits it.
  }

  /** Lets open transactions end. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #write(number: number): Promise<void> {
    const { signal } = this.#stopping;
    const random = seeded(this.#options.seed * 1_000 + number);
    let client: pg.Client | undefined;
    while (!signal.aborted) {
      try {
        client ??= await connected(this.#options.url, `writer ${number}`);
        await this.#transact(client, number, random);
        await systemClock.sleep(random() * this.#options.pauseMsMax, signal);
      } catch {
        // The history has it already; PostgreSQL is away, or this connection is.
        client?.end().catch(() => undefined);
        client = undefined;
        await systemClock.sleep(reconnectMs, signal);
      }
    }
    await client?.end().catch(() => undefined);
  }

  async #transact(client: pg.Client, number: number, random: () => number): Promise<void> {
    const who = `writer ${number}`;
    const eventIds: string[] = [];
    const { topic, holdMsMax } = this.#options;
    let isCommitting = false;
    try {
      await client.query("begin");
      for (let statement = 0; statement <= Math.floor(random() * 2); statement += 1) {
        const rows = Array.from({ length: 1 + Math.floor(random() * 2) }, () => this.#row(random));
        eventIds.push(...rows.map(({ id }) => id));
        this.#history.note(who, "intent", { eventIds: rows.map(({ id }) => id) });
        await client.query(insertAudited, [
          rows.map(({ id }) => id),
          rows.map(({ aggregateId }) => aggregateId),
          rows.map(({ payload }) => payload),
          topic,
        ]);
        if (random() < 0.7) await client.query("select pg_sleep($1)", [(random() * holdMsMax) / 1000]);
      }
      const isKept = random() > 0.1;
      isCommitting = isKept;
      await client.query(isKept ? "commit" : "rollback");
      this.#history.note(who, isKept ? "ok" : "fail", { eventIds });
    } catch (error) {
      this.#history.note(who, isCommitting ? "info" : "fail", { eventIds, message: messageOf(error) });
      throw error;
    }
  }

  #row(random: () => number): {
    readonly id: string;
    readonly aggregateId: string;
    readonly payload: string;
  } {
    const { aggregates, canary } = this.#options;
    return {
      id: randomUUID(),
      aggregateId: `aggregate-${Math.floor(random() * aggregates)}`,
      payload: JSON.stringify({ canary, pad: "x".repeat(Math.floor(random() * 200)) }),
    };
  }
}

/** A connection that rejects what it is asked when it breaks, and does nothing else. */
export async function connected(url: string, name: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: name,
    connectionTimeoutMillis: 5_000,
    query_timeout: 60_000,
  });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}
