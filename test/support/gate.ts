/**
 * A gate in front of every DELETE on the outbox: a trigger that waits for an advisory lock. Closed, it
 * holds a relay exactly between the ack it has received and the removal it has sent, for as long as a
 * test likes.
 */
import pg from "pg";

const key = 8_271_154;

export class RemovalGate {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async install(url: string): Promise<RemovalGate> {
    const client = new pg.Client({ connectionString: url, application_name: "removal gate" });
    await client.connect();
    await client.query(`
      create function wait_at_gate() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock_shared(${key}); return null; end $$;
      create trigger removal_gate before delete on undispatched_events
        for each statement execute function wait_at_gate();`);
    return new RemovalGate(client);
  }

  /** Lets removals that run finish; every later one waits. */
  async shut(): Promise<void> {
    await this.#client.query("select pg_advisory_lock($1)", [key]);
  }

  /** Resolves when a removal stands at the gate; returns the backends that wait. */
  async caught(): Promise<number[]> {
    for (;;) {
      const { rows } = await this.#client.query<{ pid: number }>(
        "select pid from pg_locks where locktype = 'advisory' and objid = $1 and not granted",
        [key],
      );
      if (rows.length > 0) return rows.map(({ pid }) => pid);
    }
  }

  /**
   * Ends those backends before opening: PostgreSQL would carry out the statement of a client that has
   * died, and the row would be gone after all.
   */
  async open(orphans: readonly number[] = []): Promise<void> {
    for (const pid of orphans) await this.#client.query("select pg_terminate_backend($1, 10000)", [pid]);
    await this.#client.query("select pg_advisory_unlock($1)", [key]);
  }

  async uninstall(): Promise<void> {
    await this.#client.query("drop function wait_at_gate cascade");
    await this.close();
  }

  async close(): Promise<void> {
    await this.#client.end();
  }
}
