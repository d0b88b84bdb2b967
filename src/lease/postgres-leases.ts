/** The leases on PostgreSQL. No session state: every statement works through a pooler in transaction mode. */
import type { DatabaseConfig } from "../outbox/database-config.ts";
import { PostgresSession } from "../outbox/postgres-session.ts";
import { quoteIdentifier } from "../outbox/statements.ts";
import type { Leases, Renewal, Term } from "./lease.ts";

type TermRow = [shard: number, term: string];

const toTerm = ([shard, term]: TermRow): Term => ({ shard, term });

export class PostgresLeases implements Leases {
  readonly #member: string;
  readonly #ttlMs: number;
  readonly #session: PostgresSession;
  readonly #leases: string;
  readonly #members: string;

  /** `member` names this process among all relays, and no other that ever runs. */
  constructor(config: DatabaseConfig, member: string, leaseTtlMs: number) {
    const schema = quoteIdentifier(config.schema);
    this.#member = member;
    this.#ttlMs = leaseTtlMs;
    this.#session = new PostgresSession(config, "outrider relay (leases)");
    this.#leases = `${schema}.outrider_shard_leases`;
    this.#members = `${schema}.outrider_members`;
  }

  async renew(held: readonly Term[]): Promise<Renewal> {
    const rows = await this.#session.query<[number, number, number | null, ...(TermRow | [null, null])]>(
      `with alive as (
         insert into ${this.#members} (member, expires_at)
         values ($1, clock_timestamp() + $2::int * interval '1 millisecond')
         on conflict (member) do update set expires_at = excluded.expires_at
       ), renewed as (
         update ${this.#leases} as lease
            set expires_at = clock_timestamp() + $2::int * interval '1 millisecond'
           from unnest($3::smallint[], $4::bigint[]) as held (shard, term)
          where lease.shard = held.shard and lease.term = held.term and lease.holder = $1
         returning lease.shard, lease.term::text
       ), others as (
         select member from ${this.#members} where member <> $1 and expires_at > clock_timestamp()
       )
       select (select 1 + count(*)::int from others), (select count(*)::int from others where member < $1),
              (select ceil(extract(epoch from min(last) - clock_timestamp()) * 1000)::int
                 from (select max(expires_at) as last from ${this.#leases} where holder <> $1 group by holder) as ends
                where last > clock_timestamp()),
              renewed.shard, renewed.term
         from (select 1) as once left join renewed on true`,
      [this.#member, this.#ttlMs, ...columns(held)],
      { keep: "always" },
    );
    return {
      membersCount: rows[0]?.[0] ?? 1,
      rank: rows[0]?.[1] ?? 0,
      othersExpireInMs: rows[0]?.[2] ?? undefined,
      renewed: rows.flatMap(([, , , shard, term]) =>
        shard === null || term === null ? [] : [{ shard, term }],
      ),
    };
  }

  async acquire(count: number, unitShards = 1): Promise<readonly Term[]> {
    const rows = await this.#session.query<TermRow>(
      `with free_units as (
         select shard / $4::int as unit from ${this.#leases} group by 1
         having bool_and(holder is null or expires_at <= clock_timestamp())
       ), taken as materialized (
         select shard from ${this.#leases}
          where shard / $4::int in (select unit from free_units)
            and (holder is null or expires_at <= clock_timestamp())
          order by shard limit $3 for update skip locked
       ), whole as (
         select shard / $4::int as unit from taken group by 1 having count(*) = $4::int
       )
       update ${this.#leases} as lease
          set holder = $1, term = lease.term + 1, expires_at = clock_timestamp() + $2::int * interval '1 millisecond'
         from taken
        where lease.shard = taken.shard and lease.shard / $4::int in (select unit from whole)
       returning lease.shard, lease.term::text`,
      [this.#member, this.#ttlMs, count, unitShards],
    );
    return rows.map(toTerm).sort((a, b) => a.shard - b.shard);
  }

  async handBack(terms: readonly Term[]): Promise<void> {
    await this.#session.execute(
      `update ${this.#leases} as lease set holder = null, expires_at = null
         from unnest($2::smallint[], $3::bigint[]) as held (shard, term)
        where lease.shard = held.shard and lease.term = held.term and lease.holder = $1`,
      [this.#member, ...columns(terms)],
    );
  }

  async leave(terms: readonly Term[]): Promise<void> {
    await this.handBack(terms);
    await this.#session.execute(`delete from ${this.#members} where member = $1`, [this.#member]);
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

function columns(terms: readonly Term[]): [number[], string[]] {
  return [terms.map(({ shard }) => shard), terms.map(({ term }) => term)];
}
