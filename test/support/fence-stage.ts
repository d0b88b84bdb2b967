/** A relay between a real outbox and a publisher that remembers, for what is to be said of the fence. */
import pg from "pg";
import type { Look, Outbox } from "../../src/outbox/outbox.ts";
import type { RelayLimits } from "../../src/relay/polling-publisher.ts";
import { type MigratedDatabase, migratedDatabase, openOutbox } from "./migrated-database.ts";
import { judgeDeliveries, type Verdict } from "./order.ts";
import { RecordingPublisher } from "./recording-publisher.ts";
import { makeRelay, type RunningRelay } from "./running-relay.ts";
import { writeConcurrently } from "./writers.ts";

export type Twist = (outbox: Outbox) => Outbox;

/** An outbox whose looks are tampered with. */
export const withLooks =
  (tamper: (look: Look) => Look): Twist =>
  (outbox) => {
    const together: Outbox["lookAndClaim"] = async (...asked) => {
      const both = await outbox.lookAndClaim(...asked);
      return both === null || both === "unchanged" ? both : { ...both, look: tamper(both.look) };
    };
    return new Proxy(outbox, {
      get(target, name) {
        if (name === "look") return async () => tamper(await target.look());
        if (name === "lookAndClaim") return together;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };

export interface FenceStage extends RunningRelay {
  readonly database: MigratedDatabase;
  readonly publisher: RecordingPublisher;
}

export interface FenceStageOptions {
  readonly limits?: Partial<RelayLimits>;
  readonly twist?: Twist;
  readonly narrowFence?: boolean;
}

export async function onStage(
  work: (stage: FenceStage) => Promise<void>,
  { limits = {}, twist = (outbox) => outbox, narrowFence = false }: FenceStageOptions = {},
): Promise<void> {
  const database = await migratedDatabase({ narrowFence });
  const publisher = new RecordingPublisher();
  const running = makeRelay(twist(openOutbox(database)), publisher, { limits });
  try {
    await running.relay.start();
    await work({ ...running, database, publisher });
  } finally {
    await running.relay.stop();
    await database.drop();
  }
}

export async function connected(url: string, name: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: name });
  await client.connect();
  return client;
}

/** A client that may prepare transactions; the test is skipped where the server lets nobody do so. */
export async function twoPhaseClient(url: string, skip: (why: string) => void): Promise<pg.Client> {
  const client = await connected(url, "two-phase");
  const { rows } = await client.query<{ max: string }>(
    "select current_setting('max_prepared_transactions') as max",
  );
  if (rows[0]?.max === "0")
    skip("this server allows no prepared transactions (max_prepared_transactions = 0)");
  return client;
}

export const insert = "insert into undispatched_events (aggregate_id, event_payload) values ($1, '{}')";

export type Raced = Verdict & { readonly events: number };

/** Lets the writers run to their end, sweeping all the while, and judges what was published. */
export async function race(seed: number, options: FenceStageOptions = {}): Promise<Raced> {
  let verdict: Raced | undefined;
  await onStage(async ({ database, publisher, relay, ear, announcements }) => {
    let polls = 0;
    announcements.subscribe(({ type }) => {
      if (type === "polled" && polls++ % 20 === 0) relay.sweepSoon();
    });
    const { url } = database;
    const aggregates = options.narrowFence === true ? await neighbours(url, 20) : 20;
    const load = { url, writers: 14, events: 6_000, aggregates, holdMsMax: 20, seed };
    const committed = await writeConcurrently(load);
    relay.sweepSoon();
    await ear.until(() => publisher.published.length >= committed.length);
    verdict = { ...judgeDeliveries(committed, publisher.published), events: committed.length };
  }, options);
  if (verdict === undefined) throw new Error("the race was not run");
  return verdict;
}

/** Aggregates that share two shards, and hardly a slot: what holds one back is to let the others pass. */
async function neighbours(url: string, count: number): Promise<string[]> {
  const client = await connected(url, "neighbours");
  const { rows } = await client.query<{ id: string }>(
    `select 'neighbour-' || n as id from generate_series(1, 10000) as n
      where hashtext('neighbour-' || n) & 63 < 2 limit $1`,
    [count],
  );
  await client.end();
  return rows.map(({ id }) => id);
}

/** Resolves after so many more polls. */
export function polls({ announcements }: FenceStage, count: number): Promise<void> {
  let seen = 0;
  return new Promise((resolve) => {
    const end = announcements.subscribe(({ type }) => {
      if (type !== "polled" || ++seen < count) return;
      end();
      resolve();
    });
  });
}
