/** The overview on PostgreSQL: two statements a sample, and what the outbox itself can say. */
import { OutriderError } from "../foundation/errors.ts";
import type { DatabaseConfig } from "./database-config.ts";
import type { Outbox } from "./outbox.ts";
import type { Overview, Sample, WriterSample } from "./overview.ts";
import { sqlstateOf } from "./postgres-connection.ts";
import { PostgresSession } from "./postgres-session.ts";
import { quoteIdentifier } from "./statements.ts";

/** Rows counted at most, of each table. */
const countMax = 100_000;
const blockedShown = 5;

type Told = Omit<Sample, "backlog" | "writers">;

/** One JSON value; `schema` is quoted. */
const sampleStatement = (schema: string): string => `with lease as (
  select holder, expires_at, expires_at > clock_timestamp() as is_live from ${schema}.outrider_shard_leases
), relay as (
  select coalesce(m.member, l.holder) as member, coalesce(l.shards, 0) as shards,
         case when m.expires_at > clock_timestamp()
              then (extract(epoch from m.expires_at - clock_timestamp()) * 1000)::bigint end as expires_in_ms
    from ${schema}.outrider_members m
    full join (select holder, count(*) as shards from lease where is_live group by holder) l on l.holder = m.member
   where l.holder is not null or m.expires_at > clock_timestamp()
), blocked as (
  select b.aggregate_id, b.reason, b.attempts, b.blocked_at from ${schema}.outrider_blocked_aggregates b
   where exists (select from ${schema}.undispatched_events o where o.event_id = b.event_id)
)
select json_build_object(
  'clockMs', (extract(epoch from clock_timestamp()) * 1000)::bigint,
  'database', current_database(),
  'written', pg_stat_get_tuples_inserted('${schema.replaceAll("'", "''")}.undispatched_events'::regclass),
  'removed', pg_stat_get_tuples_deleted('${schema.replaceAll("'", "''")}.undispatched_events'::regclass),
  'relays', (select coalesce(json_agg(json_build_object('member', member, 'shards', shards, 'expiresInMs', expires_in_ms)
               order by member), '[]') from relay),
  'shardsFree', (select count(*) from lease where holder is null),
  'shardsExpired', (select count(*) from lease where holder is not null and is_live is not true),
  'blocked', json_build_object(
     'aggregates', (select count(*) from (select from blocked limit ${countMax}) as counted),
     'first', (select coalesce(json_agg(json_build_object('aggregateId', aggregate_id, 'reason', reason, 'attempts', attempts,
                'sinceMs', (extract(epoch from clock_timestamp() - blocked_at) * 1000)::bigint) order by blocked_at), '[]')
                from (select * from blocked order by blocked_at limit ${blockedShown}) as longest)),
  'deadLetters', (select count(*) from (select from ${schema}.outrider_dead_letters limit ${countMax}) as counted)
)::text`;

/** No such table, no such column, or no right to read it. */
const unfitStates = ["42P01", "42703", "42501", "3F000"];

export class PostgresOverview implements Overview {
  readonly #session: PostgresSession;
  readonly #outbox: Outbox;
  readonly #schema: string;

  constructor(config: DatabaseConfig, outbox: Outbox) {
    this.#session = new PostgresSession(config, "outrider top");
    this.#outbox = outbox;
    this.#schema = quoteIdentifier(config.schema);
  }

  async sample(): Promise<Sample> {
    try {
      const [row] = await this.#session.query<[string]>(sampleStatement(this.#schema));
      const told = JSON.parse(row?.[0] ?? "{}") as Told;
      const { events, oldestAgeMs } = await this.#outbox.backlog(countMax);
      return {
        ...told,
        backlog: { events, isMore: events >= countMax, oldestAgeMs },
        writers: await this.#writers(),
      };
    } catch (error) {
      if (!(error instanceof OutriderError) || !unfitStates.includes(sqlstateOf(error) ?? "")) throw error;
      throw new OutriderError("OUTBOX_UNFIT", error.message, {
        repair: "outrider migrate, or run the statements of: outrider grants --reader ROLE",
        cause: error,
      });
    }
  }

  async #writers(): Promise<readonly WriterSample[]> {
    const { clock, writers } = await this.#outbox.look();
    if (writers.length === 0) return [];
    const pids = writers.flatMap(({ pid }) => (pid === null ? [] : [pid]));
    const described = new Map((await this.#outbox.describeWriters(pids)).map((each) => [each.pid, each]));
    return writers
      .map(
        ({ pid, startedAt }): WriterSample => ({
          pid,
          application: (pid === null ? undefined : described.get(pid)?.application) ?? null,
          openForMs: startedAt === null ? null : Math.max(0, Math.round((clock - startedAt) / 1_000)),
        }),
      )
      .sort((a, b) => (b.openForMs ?? Number.MAX_VALUE) - (a.openForMs ?? Number.MAX_VALUE));
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}
