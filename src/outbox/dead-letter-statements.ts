/** The statements of blocks and dead letters, as text. None of them is on the path of an accepted event. */
import { type PayloadType, quoteIdentifier, removalMark } from "./statements.ts";

export interface Tables {
  readonly events: string;
  readonly blocks: string;
  readonly letters: string;
}

export function tablesOf(schema: string): Tables {
  const home = quoteIdentifier(schema);
  return {
    events: `${home}.undispatched_events`,
    blocks: `${home}.outrider_blocked_aggregates`,
    letters: `${home}.outrider_dead_letters`,
  };
}

/** ISO text whatever DateStyle the database was given. */
const iso = (column: string): string => `to_json(${column})#>>'{}'`;

const blockColumns = `b.event_id::text, b.aggregate_id, b.shard, ${iso("b.created_at")}, b.seq::text, b.reason, b.message, b.attempts`;

/** `$1` shards. What an operator deleted by hand, and what a relay freed just before it died, goes here. */
export function loadStatement({ events, blocks }: Tables): string {
  return `with gone as (
  delete from ${blocks} as b
   where b.shard = any ($1::smallint[]) and not exists (select from ${events} as o where o.event_id = b.event_id)
  returning b.event_id)
select ${blockColumns}
  from ${blocks} as b
 where b.shard = any ($1::smallint[]) and b.event_id not in (select event_id from gone)`;
}

/**
 * `$1..$8`: the columns, each as an array. A relay that lost the shard may still write: it must not
 * turn back the count of the one that has it.
 */
export function rememberStatement({ blocks }: Tables): string {
  return `insert into ${blocks} as known (event_id, aggregate_id, shard, created_at, seq, reason, message, attempts)
select * from unnest($1::uuid[], $2::text[], $3::smallint[], $4::timestamptz[], $5::bigint[], $6::text[], $7::text[], $8::int[])
on conflict (event_id) do update
   set reason = excluded.reason, message = excluded.message, attempts = excluded.attempts, retried_at = clock_timestamp()
 where known.attempts <= excluded.attempts`;
}

export function forgetStatement({ blocks }: Tables): string {
  return `delete from ${blocks} where event_id = any ($1::uuid[])`;
}

const eventColumns =
  "event_id, aggregate_id, created_at, event_payload, seq, event_type, aggregate_type, topic, headers";

/**
 * `$1..$4`: event ids, reasons, messages, attempts. Marked like a removal, because its delete takes the
 * writers' lock and writes no event. The same id may be dead already, where an application has written
 * an event again under its old id: the last one counts.
 */
export function deadLetterStatement({ events, blocks, letters }: Tables): string {
  const replaced = [...eventColumns.split(", ").slice(1), "reason", "message", "attempts"]
    .map((column) => `${column} = excluded.${column}`)
    .join(", ");
  return `with refused as (
  select * from unnest($1::uuid[], $2::text[], $3::text[], $4::int[]) as r (event_id, reason, message, attempts)
), taken as (
  delete from ${events} as o using refused as r
   where o.event_id = r.event_id
     and (select true from pg_advisory_xact_lock_shared(${removalMark.classId}, ${removalMark.objectId}))
  returning ${eventColumns
    .split(", ")
    .map((column) => `o.${column}`)
    .join(", ")}, r.reason, r.message, r.attempts
), unblocked as (
  delete from ${blocks} where event_id = any ($1::uuid[])
)
insert into ${letters} (${eventColumns}, reason, message, attempts)
select * from taken
on conflict (event_id) do update set ${replaced}, dead_at = clock_timestamp()
returning event_id::text`;
}

const letterColumns = `d.event_id::text, d.aggregate_id, ${iso("d.created_at")}, d.seq::text, d.event_type, d.aggregate_type,
       d.topic, d.reason, d.message, d.attempts, ${iso("d.dead_at")}`;

const sizeOf = (type: PayloadType): string =>
  type === "bytea" ? "octet_length(d.event_payload)" : "octet_length(d.event_payload::text)";

/**
 * `$1` event ids, `$2` aggregate, `$3` reason, `$4` topic, `$5` since, `$6` topic template, `$7` default
 * topic, `$8..$10` the page's mark, `$11` rows. What is null is not asked for.
 *
 * Spelled as `is null or …`, so that there is one text; these statements are sent with their values
 * each time, and PostgreSQL drops the branches before it plans.
 */
const chosen = `($1::uuid[] is null or d.event_id = any ($1::uuid[]))
   and ($2::text is null or d.aggregate_id = $2::text)
   and ($3::text is null or d.reason = $3::text)
   and ($4::text is null or $4::text = coalesce(d.topic,
        case when d.aggregate_type is null then $7::text
             else replace($6::text, '\${aggregate_type}', d.aggregate_type) end))
   and ($5::timestamptz is null or d.dead_at >= $5::timestamptz)
   and ($8::timestamptz is null or (d.created_at, d.seq, d.event_id) > ($8::timestamptz, $9::bigint, $10::uuid))`;
const inOrder = "order by d.created_at, d.seq, d.event_id";

export function listStatement({ letters }: Tables, type: PayloadType): string {
  return `select ${letterColumns}, ${sizeOf(type)}
  from ${letters} as d
 where ${chosen}
 ${inOrder}
 limit $11::int`;
}

/** `$1` event id. */
export function findStatement({ letters }: Tables, type: PayloadType): string {
  return `select ${letterColumns}, ${sizeOf(type)}, d.headers::text, d.event_payload${type === "bytea" ? "" : "::text"}
  from ${letters} as d
 where d.event_id = $1::uuid`;
}

const batch = ({ letters }: Tables): string => `batch as (
  select d.event_id, d.created_at, d.seq
    from ${letters} as d
   where ${chosen}
     and d.dead_at <= $12::timestamptz
   ${inOrder}
   limit $11::int
)`;

const outcome = (
  moved: string,
): string => `select batch.event_id::text, ${iso("batch.created_at")}, batch.seq::text, ${moved}.event_id is not null
  from batch left join ${moved} on ${moved}.event_id = batch.event_id
 order by batch.created_at, batch.seq, batch.event_id`;

/**
 * Takes a batch out and puts it back. `$12`: only what was dead by then.
 *
 * Not marked like a removal: this writes events, and the fence must wait for it. One created_at for
 * all of the batch, read after the lock on the outbox was taken; seq is given out in the order of the
 * insert, which is the old order. A clock that steps back inside the batch can so not turn it round.
 */
export function redriveStatement(tables: Tables): string {
  const { events, letters } = tables;
  const kept = "event_id, aggregate_id, event_payload, event_type, aggregate_type, topic, headers";
  return `with ${batch(tables)}, taken as (
  delete from ${letters} as d using batch
   where d.event_id = batch.event_id
     and not exists (select from ${events} as o where o.event_id = d.event_id)
  returning d.*
), put as (
  insert into ${events} (${kept}, created_at)
  select ${kept}, (select clock_timestamp()) from taken order by taken.created_at, taken.seq, taken.event_id
  returning event_id
)
${outcome("put")}`;
}

export function discardStatement(tables: Tables): string {
  return `with ${batch(tables)}, gone as (
  delete from ${tables.letters} as d using batch where d.event_id = batch.event_id returning d.event_id
)
${outcome("gone")}`;
}

/**
 * `$1` aggregates, `$2` rows to look at. Rows are counted among the next rows of the shard, whoever they
 * belong to: there is no index on aggregate_id, and a count must not read a table of millions.
 */
export function blockedStatement({ events, blocks }: Tables): string {
  return `select ${blockColumns}, ${iso("b.blocked_at")}, ${iso("b.retried_at")}, seen.waiting::int, seen.rows::int
  from (select * from ${blocks} as b
         where exists (select from ${events} as o where o.event_id = b.event_id)
         order by b.blocked_at, b.event_id limit $1::int) as b
 cross join lateral (
   select count(*) as rows, count(*) filter (where next.aggregate_id = b.aggregate_id) as waiting
     from (select o.aggregate_id from ${events} as o
            where o.shard = b.shard and (o.created_at, o.seq) >= (b.created_at, b.seq)
            order by o.created_at, o.seq limit $2::int) as next) as seen
 order by b.blocked_at, b.event_id`;
}
