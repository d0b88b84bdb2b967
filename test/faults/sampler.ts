/** I11, hygiene: what the relays' sessions look like from the server's side while a row runs. */
import type pg from "pg";
import { systemClock } from "../../src/foundation/clock.ts";
import { connected } from "./load.ts";

const everyMs = 500;

export class Sampler {
  readonly violations = new Set<string>();
  connectionsMax = 0;
  readonly #url: string;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  constructor(url: string) {
    this.#url = url;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let client: pg.Client | undefined;
    while (!signal.aborted) {
      try {
        client ??= await connected(this.#url, "sampler");
        await this.#sample(client);
      } catch {
        // PostgreSQL is away, which is what some rows are about.
        client?.end().catch(() => undefined);
        client = undefined;
      }
      await systemClock.sleep(everyMs, signal);
    }
    await client?.end().catch(() => undefined);
  }

  async #sample(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ sessions: number; idle: number }>(`
      select count(*)::int as sessions,
             count(*) filter (where state like 'idle in transaction%'
                                and clock_timestamp() - state_change > interval '1 second')::int as idle
        from pg_stat_activity
       where datname = current_database() and application_name like 'outrider relay%'`);
    const { sessions = 0, idle = 0 } = rows[0] ?? {};
    this.connectionsMax = Math.max(this.connectionsMax, sessions);
    if (idle > 0) this.violations.add("I11: a relay's session stayed idle in a transaction for over 1 s");
  }
}
