/**
 * What a look of the fence costs PostgreSQL, by the connections that it has room for: it reads through all the locks
 * that the server could hold. Nobody is connected but the relay's own session. Beside it the whole of a poll, look and
 * claim of an empty outbox in one message, and the same where nothing was written since the last one; and the cheapest
 * statement there is: what a question costs whatever is asked.
 */
import { startPostgres } from "../../src/environment/environment.ts";
import { beginning } from "../../src/event/position.ts";
import { allShards } from "../../src/event/shard.ts";
import { invariant } from "../../src/foundation/errors.ts";
import { rounded, type Spread, spreadOf } from "../../src/foundation/figures.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import type { ClaimRequest } from "../../src/outbox/outbox.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { databaseConfig, openOutbox } from "../support/migrated-database.ts";
import type { BenchOptions } from "./options.ts";
import { processorMicros } from "./processor-time.ts";
import type { Stage } from "./stage.ts";
import type { Say } from "./warm-up.ts";

export interface LookFigures {
  readonly maxConnections: number;
  /** Of the server's process for this session, in microseconds each. */
  readonly cpuMicros: Readonly<Record<LookSide, Spread>>;
}

export const lookSides = ["look", "poll", "unchanged", "nothing"] as const;
export type LookSide = (typeof lookSides)[number];

export interface LookBench {
  readonly looks: number;
  readonly rounds: number;
  readonly figures: readonly LookFigures[];
}

/** A relay that keeps up: every shard from one position on. */
const everything: ClaimRequest = {
  ranges: allShards.map((shard) => ({ shard, ...beginning, fence: Number.POSITIVE_INFINITY })),
  limits: { eventsMax: 1_000, eventsPerShardMax: 1_000, bytesMax: 1_000_000, payloadBytesMax: 1_000_000 },
  blocked: [],
};

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
    const { mark } = await outbox.look();
    // What is asked together has to be known to the session.
    await outbox.claim(everything);
    invariant(
      (await outbox.lookAndClaim(everything, mark)) === "unchanged",
      "an outbox that nobody else uses",
    );
    const ask: Readonly<Record<LookSide, () => Promise<unknown>>> = {
      look: () => outbox.look(),
      poll: () => outbox.lookAndClaim(everything, null),
      unchanged: () => outbox.lookAndClaim(everything, mark),
      nothing: () => outbox.reader.query("select 1", [], { keep: "always" }),
    };
    const micros: Record<LookSide, number[]> = { look: [], poll: [], unchanged: [], nothing: [] };
    for (let round = 0; round <= rounds; round += 1)
      for (const side of lookSides) {
        const before = processorMicros(pid);
        for (let n = 0; n < looks; n += 1) await ask[side]();
        // The first round fills the caches of the session.
        if (round > 0) micros[side].push(rounded((processorMicros(pid) - before) / looks));
      }
    const spreadAt = (side: LookSide) => spreadOf(micros[side]);
    const [look, poll, unchanged, nothing] = [
      spreadAt("look"),
      spreadAt("poll"),
      spreadAt("unchanged"),
      spreadAt("nothing"),
    ];
    return { maxConnections, cpuMicros: { look, poll, unchanged, nothing } };
  } finally {
    await outbox.close();
    await server.stop();
  }
}
