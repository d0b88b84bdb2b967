/**
 * The writers of a long run. Each transaction leaves a mark of its own beside its events, so that one
 * whose commit was not answered can be looked up; marks that are answered for are deleted again.
 */
import { randomUUID } from "node:crypto";
import type pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import { seeded } from "../support/writers.ts";
import type { Ledger, Written } from "./ledger.ts";
import { connected } from "./load.ts";

export const markTable = "create table soak_marks (mark uuid primary key)";

export interface SoakLoad {
  readonly url: string;
  readonly topic: string;
  readonly seed: number;
  readonly writers: number;
  readonly rowsMax: number;
  readonly pauseMsMax: number;
}

const pad = "x".repeat(120);

export class SoakWriters {
  readonly #load: SoakLoad;
  readonly #ledger: Ledger;
  readonly #stopping = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(load: SoakLoad, ledger: Ledger) {
    this.#load = load;
    this.#ledger = ledger;
    this.#running = Promise.all(Array.from({ length: load.writers }, (_, number) => this.#write(number)));
    this.#running.catch(() => undefined); // Thrown where `stop` awaits it.
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #write(number: number): Promise<void> {
    const { signal } = this.#stopping;
    const random = seeded(this.#load.seed * 1_000 + number);
    let client: pg.Client | undefined;
    while (!signal.aborted) {
      client ??= await this.#connect(number);
      if (!(await this.#transact(client, random))) {
        client.end().catch(() => undefined);
        client = undefined;
      }
      await systemClock.sleep(random() * this.#load.pauseMsMax, signal);
    }
    await client?.end().catch(() => undefined);
  }

  async #connect(number: number): Promise<pg.Client> {
    for (;;) {
      try {
        return await connected(this.#load.url, `soak writer ${number}`);
      } catch {
        await systemClock.sleep(200);
      }
    }
  }

  /** Whether the connection is still good. */
  async #transact(client: pg.Client, random: () => number): Promise<boolean> {
    const mark = randomUUID();
    let rows: Written[] = [];
    try {
      await client.query("begin");
      await client.query("insert into soak_marks values ($1)", [mark]);
      rows = await this.#insert(client, 1 + Math.floor(random() * this.#load.rowsMax), random);
      this.#ledger.intend(rows);
      if (random() < 0.05) {
        await client.query("rollback");
        this.#ledger.abort(rows);
        return true;
      }
    } catch {
      this.#ledger.abort(rows);
      return false;
    }
    try {
      await client.query("commit");
      this.#ledger.commit(rows);
    } catch {
      if (await this.#isCommitted(mark)) this.#ledger.commit(rows);
      else this.#ledger.abort(rows);
      return false;
    }
    return client.query("delete from soak_marks where mark = $1", [mark]).then(
      () => true,
      () => false,
    );
  }

  async #insert(client: pg.Client, count: number, random: () => number): Promise<Written[]> {
    const ids = Array.from({ length: count }, () => randomUUID());
    const aggregates = ids.map(() => `aggregate-${Math.floor(random() * 500)}`);
    const { rows } = await client.query<Written>(
      `insert into undispatched_events (event_id, aggregate_id, event_payload, topic)
       select id, aggregate, $3, $4 from unnest($1::uuid[], $2::text[]) as row (id, aggregate)
       returning event_id as "eventId", aggregate_id as "aggregateId",
                 to_json(created_at)#>>'{}' as "createdAt", seq::text`,
      [ids, aggregates, JSON.stringify({ pad }), this.#load.topic],
    );
    return rows;
  }

  /** Locks the mark's key: a commit still under way is waited for, and then it is there or it is not. */
  async #isCommitted(mark: string): Promise<boolean> {
    for (;;) {
      const client = await this.#connect(-1);
      try {
        const { rowCount } = await client.query("insert into soak_marks values ($1) on conflict do nothing", [
          mark,
        ]);
        return rowCount === 0;
      } catch {
        await systemClock.sleep(200);
      } finally {
        client.end().catch(() => undefined);
      }
    }
  }
}
