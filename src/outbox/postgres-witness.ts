/** The witness on PostgreSQL: one session, plain reads. */
import { OutriderError } from "../foundation/errors.ts";
import type { DatabaseConfig } from "./database-config.ts";
import { tablesOf } from "./dead-letter-statements.ts";
import { sqlstateOf } from "./postgres-connection.ts";
import { PostgresSession } from "./postgres-session.ts";
import type { OutboxWitness, Place, Standing, WitnessedRow } from "./witness.ts";

const columns = "event_id::text, aggregate_id, to_json(created_at)#>>'{}', topic, aggregate_type";
const everyShard = "generate_series(0, 63) as s (shard) cross join lateral";

/** `$1` rows. Both ends of the index: what is published next, and what was written just now. */
const sampleStatement = (events: string): string => `select e.* from ${everyShard} (
  (select ${columns} from ${events} where shard = s.shard::smallint order by created_at, seq limit $1)
  union
  (select ${columns} from ${events} where shard = s.shard::smallint order by created_at desc, seq desc limit $1)
) as e`;

/** `$1` event ids. One statement, so that an event on its way between the tables is seen in one of them. */
const findStatement = (events: string, letters: string): string => `select a.event_id::text,
       exists (select from ${events} as o where o.event_id = a.event_id),
       exists (select from ${letters} as d where d.event_id = a.event_id)
  from unnest($1::uuid[]) as a (event_id)`;

/** `$1` rows to count, `$2` an age in milliseconds. By shards: there is no index on created_at alone. */
const standingStatement = (events: string, blocks: string, letters: string): string => `select
  (select count(*) from (select from ${events} limit $1) as waiting)::int,
  (select extract(epoch from clock_timestamp() - min(head.created_at)) * 1000 from ${everyShard} (
     select created_at from ${events} where shard = s.shard::smallint order by created_at, seq limit 1) as head)::bigint::text,
  (select count(*) from (select from ${everyShard} (
     select from ${events} where shard = s.shard::smallint
        and created_at < clock_timestamp() - $2::float8 * interval '1 millisecond' limit $1) as old limit $1) as stale)::int,
  (select count(*) from ${blocks} as b where exists (select from ${events} as o where o.event_id = b.event_id))::int,
  (select count(*) from (select from ${letters} limit $1) as dead)::int`;

/** No such table, no such column, or no right to read it. */
const unfitStates = ["42P01", "42703", "42501", "3F000"];

export class PostgresWitness implements OutboxWitness {
  readonly #session: PostgresSession;
  readonly #tables: ReturnType<typeof tablesOf>;

  constructor(config: DatabaseConfig) {
    this.#session = new PostgresSession(config, "outrider verify");
    this.#tables = tablesOf(config.schema);
  }

  async sample(perShardMax: number): Promise<readonly WitnessedRow[]> {
    const rows = await this.#query<[string, string, string, string | null, string | null]>(
      sampleStatement(this.#tables.events),
      [perShardMax],
    );
    return rows.map(([eventId, aggregateId, createdAt, topic, aggregateType]) => ({
      eventId,
      aggregateId,
      createdAt,
      topic,
      aggregateType,
    }));
  }

  async find(eventIds: readonly string[]): Promise<ReadonlyMap<string, Place>> {
    const { events, letters } = this.#tables;
    const rows = await this.#query<[string, boolean, boolean]>(findStatement(events, letters), [eventIds]);
    const places = new Map<string, Place>();
    for (const [eventId, isWaiting, isDead] of rows) {
      if (isWaiting) places.set(eventId, "outbox");
      else if (isDead) places.set(eventId, "dead-letter");
    }
    return places;
  }

  async standing(countMax: number, ageMaxMs: number): Promise<Standing> {
    const { events, blocks, letters } = this.#tables;
    const [row] = await this.#query<[number, string | null, number, number, number]>(
      standingStatement(events, blocks, letters),
      [countMax, ageMaxMs],
    );
    const [waiting, age, stale, blocked, deadLetters] = row ?? [0, null, 0, 0, 0];
    const oldestAgeMs = age === null ? null : Number(age);
    return { waiting, isMore: waiting >= countMax, oldestAgeMs, stale, blocked, deadLetters };
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  async #query<R extends unknown[]>(text: string, values: readonly unknown[]): Promise<R[]> {
    try {
      return await this.#session.query<R>(text, values);
    } catch (error) {
      if (!(error instanceof OutriderError) || !unfitStates.includes(sqlstateOf(error) ?? "")) throw error;
      const { events, blocks, letters } = this.#tables;
      throw new OutriderError("OUTBOX_UNFIT", error.message, {
        repair: `outrider migrate, or: grant select on ${events}, ${blocks}, ${letters} to the role that verifies`,
        cause: error,
      });
    }
  }
}
