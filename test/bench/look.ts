/**
 * What a look of the fence costs PostgreSQL, by the connections that it has room for: it reads through all the locks
 * that the server could hold. Nobody is connected but the relay's own session. Beside it the cheapest statement
 * there is, in the same session: what a question costs whatever is asked.
 */
import { startPostgres } from "../../src/environment/environment.ts";
import { rounded, type Spread, spreadOf } from "../../src/foundation/figures.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { databaseConfig, openOutbox } from "../support/migrated-database.ts";
import type { BenchOptions } from "./options.ts";
import { processorMicros } from "./processor-time.ts";
import type { Stage } from "./stage.ts";
import type { Say } from "./warm-up.ts";

export interface LookFigures {
  readonly maxConnections: number;
  /** Of the server's process for this session, in microseconds each. */
  readonly cpuMicros: { readonly look: Spread; readonly nothing: Spread };
}

export interface LookBench {
  readonly looks: number;
  readonly rounds: number;
  readonly figures: readonly LookFigures[];
}

/** Processor time is counted in ticks of 10 ms: so many looks have at least some twenty of them. */
const looks = 2_000;

export async function benchLook(_stage: Stage, options: BenchOptions, say: Say): Promise<LookBench> {
  const figures: LookFigures[] = [];
  for (const maxConnections of options.connections) {
    const one = await measure(maxConnections, options.rounds);
    say(`max_connections ${maxConnections}: ${one.cpuMicros.look.median} us a look`);
    figures.push(one);
  }
  return { looks, rounds: options.rounds, figures };
}

async function measure(maxConnections: number, rounds: number): Promise<LookFigures> {
  const settings = { max_connections: String(maxConnections) };
  const server = await startPostgres({ flavour: "embedded", settings });
  const config = databaseConfig(server.url);
  const outbox = openOutbox({ config });
  try {
    const client = await connect(config);
    await migrate(client, { schema: "public", direction: "up" });
    await client.end();
    await outbox.inspect();
    const [[pid]] = (await outbox.reader.query<[number]>("select pg_backend_pid()")) as [[number]];
    const sides = {
      look: () => outbox.look(),
      nothing: () => outbox.reader.query("select 1", [], { keep: "always" }),
    };
    const micros: Record<keyof typeof sides, number[]> = { look: [], nothing: [] };
    for (let round = 0; round <= rounds; round += 1)
      for (const side of ["look", "nothing"] as const) {
        const before = processorMicros(pid);
        for (let n = 0; n < looks; n += 1) await sides[side]();
        // The first round fills the caches of the session.
        if (round > 0) micros[side].push(rounded((processorMicros(pid) - before) / looks));
      }
    return { maxConnections, cpuMicros: { look: spreadOf(micros.look), nothing: spreadOf(micros.nothing) } };
  } finally {
    await outbox.close();
    await server.stop();
  }
}
