/**
 * The statements of the hot path, each named, as text: the claim's lateral join with a window over it
 * is not something a query builder expresses more clearly. The same goes for the count of the backlog, which
 * runs rarely. What is plain is built with Kysely, in `postgres-outbox.ts`.
 *
 * Parsing and planning them costs as much as all the rest or more (0.6 of 1 ms of a look, measured), so they are
 * named and kept: the look always, because it reads no table that grows; those that read or write the table only
 * where the session binds the planner to indexes, because else a plan made on an empty table would be kept for
 * one with ten million rows.
 */

import { slotCount } from "../event/shard.ts";

/** How json, jsonb and bytea payloads are read: as their exact text, or as their bytes. */
export type PayloadType = "json" | "jsonb" | "bytea";

/** An identifier, whatever characters it has. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * An array of PostgreSQL's, of what has neither quotes nor backslashes in it: numbers, instants, uuids and
 * addresses of rows. The driver would look at each of their letters.
 */
export function plainArray(texts: readonly (string | number)[]): string {
  return texts.length === 0 ? "{}" : `{"${texts.join('","')}"}`;
}

/** Marks a relay's own deleting transactions, which take the writers' lock but write no event. */
export const removalMark = { classId: 0x4f757472, objectId: 1 } as const;

/**
 * What a writer holds for each slot that it writes to, where `0008_narrow_fence_slots` is applied. `everywhere`: it has
 * written to more slots than a transaction may announce one by one.
 */
export const announcement = {
  classId: 0x4f757474,
  everywhere: slotCount,
  trigger: "zz_outrider_announce_slot",
} as const;

/** In place of a slot: all of the shard. */
export const anySlot = -1;

/** As the generated column `shard` is made, with more of its bits. */
const slotOf = (row: string): string => `(pg_catalog.hashtext(${row}.aggregate_id) & ${slotCount - 1})`;

/**
 * The database's clock and every transaction that holds a writer's lock on the outbox, with the slots it has
 * announced; null for them, unless the trigger that announces fires for everybody. For each also the start of
 * what its backend is at, as far as this role may see it. The activity is asked for only where somebody writes:
 * whomever it is asked about, PostgreSQL copies that of all backends first, a quarter of the price of a look.
 *
 * The rest of the price is pg_locks, and grows with what the server could hold, not with what it does: 0.2 ms at
 * max_connections = 100, 0.9 at 1,000, 2.7 at 5,000 (measured, nobody connected).
 *
 * One reading of pg_locks serves locks, marks and announcements: read twice, a transaction could end
 * in between and be judged by half of what it held. A row comes even when there is no writer.
 *
 * The mark is that of `markStatement`, read before the locks: it belongs to the row that these are joined to. Were it
 * younger, an idle relay would leave what was written in between alone for as long as it believes the mark.
 *
 * The catalog is read as of an instant before the locks, and behind the clock. Should the trigger go in between, a
 * writer that has not announced begins after this look's clock, and the next look knows. For that the clock is the
 * transaction's: a look begins one. The statement's would do for a look sent as text alone; where it is bound and
 * then executed, the catalog's instant is that of the first message and the statement's clock that of the second.
 *
 * An announcement without the lock on the table belongs to a writer that took the lock while this look was reading:
 * it counts from the next on.
 *
 * `since`: a mark, at which the locks are not read at all and no writer is told of.
 */
export function lookStatement(
  table: string,
  sequence: string | null,
  since: string | null,
): { text: string; values: (string | number)[] } {
  return {
    text: `select (extract(epoch from transaction_timestamp()) * 1000000)::bigint::text,
       writer.virtualtransaction, writer.pid, case when once.announces then coalesce(writer.slots, '') end,
       case when writer.pid is not null then (
         select (extract(epoch from xact_start) * 1000000)::bigint::text
           from pg_catalog.pg_stat_get_activity(writer.pid)) end,
       current_setting('max_prepared_transactions') <> '0', once.mark
  from (select ${sequence === null ? "null::text" : `${numberOf(sequence)}::text`} as mark, exists (
          select from pg_catalog.pg_trigger
           where tgrelid = to_regclass($1) and tgname = $5 and tgenabled = 'A') as announces) as once
  left join lateral (
    select virtualtransaction, min(pid) as pid,
           string_agg(objid::text, ',') filter (where classid = $4::int::oid) as slots
      from pg_catalog.pg_locks
     where once.mark is distinct from $6 and granted
       and database = (select oid from pg_catalog.pg_database where datname = current_database())
       and ((locktype = 'relation' and relation = to_regclass($1) and mode = 'RowExclusiveLock')
         or (locktype = 'advisory' and objsubid = 2 and (classid = $4::int::oid
           or (classid = $2::int::oid and objid = $3::int::oid))))
     group by virtualtransaction
    having bool_or(locktype = 'relation') and not bool_or(classid = $2::int::oid and locktype = 'advisory')
  ) as writer on true`,
    values: [
      table,
      removalMark.classId,
      removalMark.objectId,
      announcement.classId,
      announcement.trigger,
      since ?? "",
    ],
  };
}

/** The number that was given last, 0 before the first one. Of no snapshot: a statement sees it move. */
function numberOf(sequence: string): string {
  return `coalesce(pg_catalog.pg_sequence_last_value('${sequence.replaceAll("'", "''")}'::regclass), 0)`;
}

/** Changes with every insert, before its commit, the first one of all included. */
export function markStatement(sequence: string): string {
  return `select (case when is_called then last_value else 0 end)::text from ${sequence}`;
}

const logPosition = "pg_catalog.pg_current_wal_insert_lsn()";

/** Fails where the server does not say how far its log has been written, as some of those do that keep it elsewhere. */
export const logPositionStatement = `select ${logPosition}`;

/**
 * Waits until the mark is not `$1` any more, looking `$3` times at most, `$2` seconds apart, and answers the one that
 * is there then; no row where it is still the same. What would be a round trip for each look is a wake-up of the
 * backend: 0.05 ms of processor time against 1.2, measured. The snapshot that this statement holds is as old as it
 * gets, which is why it must not wait long: vacuum does.
 *
 * `isLogTold`: then the sequence is only read once the server's log is longer than at the start, which halves the
 * price of a look (0.04 ms against 0.07 to 0.09) and misses nothing. Who takes a number writes to the log behind it,
 * its row and at the latest its commit; so a number that the first look did not see makes the log longer after
 * the start. For that the position must be older than the first look, hence the materialized part, which also
 * asks for the right to read the sequence.
 */
export function vigilStatement(sequence: string, isLogTold: boolean): string {
  const mark = numberOf(sequence);
  const position = isLogTold ? logPosition : "null::pg_catalog.pg_lsn";
  return `with start as materialized (select ${position} as log_end from ${sequence})
  select mark::text from (
    select case when n = 0 then ${mark}
                when pg_catalog.pg_sleep($2::float8) is null then null
                when ${position} <= start.log_end then $1::bigint
                else ${mark} end as mark
      from start cross join pg_catalog.generate_series(0, $3::int) as n
    offset 0
  ) as looked
   where mark <> $1::bigint
   limit 1`;
}

/** The size of a payload without unpacking it, wherever PostgreSQL can tell. */
function sizeOf(type: PayloadType): string {
  if (type === "bytea") return "octet_length(o.event_payload)";
  return `case when pg_column_compression(o.event_payload) is null then pg_column_size(o.event_payload)
                  else octet_length(o.event_payload::text) end`;
}

/**
 * The next events of the given shards, or of one slot of a shard, each from its own cursor up to its fence.
 *
 * `$1..$3` cursors (shards, created_at, seq; the order is the order of the visit), `$4` their fences, `$5`
 * rows a range, `$6` rows in all, `$7` bytes in all, `$8` largest payload to read, `$9` the one slot of each range, or
 * `anySlot`; the variant below has also `$10`, the blocked aggregates.
 *
 * The nested loop delivers the shards in the order of the visit and each shard in index order; the
 * running sum follows that order, so that cutting by bytes leaves a prefix. Sorting the result again
 * would cost more than all the rest. `to_json` writes a timestamp in ISO form whatever DateStyle
 * the database was given.
 */
export function claimStatement(table: string, type: PayloadType): string {
  return `${claimColumns("$8")}
  from (
    select *, sum(bytes) over (rows between unbounded preceding and 1 preceding) as bytes_before
      from (
        select e.*
          from unnest($1::smallint[], $2::timestamptz[], $3::bigint[], $4::timestamptz[], $9::smallint[])
               as c(shard, created_at, seq, fence, slot)
         cross join lateral (
           select o.ctid, o.shard, o.seq, o.created_at, o.event_id, o.aggregate_id, o.event_type,
                  o.aggregate_type, o.topic, o.headers, o.event_payload, ${sizeOf(type)} as bytes
             from ${table} as o
            where o.shard = c.shard
              and (o.created_at, o.seq) > (c.created_at, c.seq)
              and o.created_at < c.fence
              and (c.slot < 0 or ${slotOf("o")} = c.slot)
            order by o.created_at, o.seq
            limit $5
         ) as e
         limit $6
      ) as candidate
  ) as measured
 where bytes_before is null or bytes_before < $7`;
}

/**
 * The same claim where all shards have one cursor and one fence, no share of their own, and are visited in the
 * order of their numbers: that of a relay that keeps up. One scan with a list of shards instead of a loop of 64, and
 * nothing said 64 times: half the price for PostgreSQL (400 against 190 microseconds with next to nothing there).
 *
 * `$1` shards, `$2..$3` the cursor, `$4` the fence, `$5` rows, `$6` bytes, `$7` largest payload to read.
 */
export function claimInStepStatement(table: string, type: PayloadType): string {
  return `${claimColumns("$7")}
  from (
    select *, sum(bytes) over (rows between unbounded preceding and 1 preceding) as bytes_before
      from (
        select o.ctid, o.shard, o.seq, o.created_at, o.event_id, o.aggregate_id, o.event_type,
               o.aggregate_type, o.topic, o.headers, o.event_payload, ${sizeOf(type)} as bytes
          from ${table} as o
         where o.shard = any ($1::smallint[])
           and (o.created_at, o.seq) > ($2::timestamptz, $3::bigint)
           and o.created_at < $4::timestamptz
         order by o.shard, o.created_at, o.seq
         limit $5
      ) as candidate
  ) as measured
 where bytes_before is null or bytes_before < $6`;
}

/**
 * Nothing is cast to text here: every type travels as text anyway, and a cast makes it once more before.
 * `event-rows.ts` reads them as they come. `payloadMax`: the parameter that says how large a payload to read.
 */
function claimColumns(payloadMax: string): string {
  return `select ${slotOf("measured")}, seq, to_json(created_at), event_id, aggregate_id, event_type, aggregate_type,
       topic, headers, case when bytes <= ${payloadMax} then event_payload end, bytes, ctid`;
}

/**
 * The claim while something is blocked; `$11`: rows to look at in each range. Two columns more: true
 * for a row that is no event, and true for the last one that was looked at, event or not. That one has
 * to be told in both cases: a shard with more behind it would otherwise count as read to its end.
 *
 * The limit stands on the rows looked at, as in `searchStatement`. A limit on the rows left over lets
 * one claim read a whole blocked aggregate: 1,000,000 rows, 1.7 s. It also lets the planner believe that
 * next to nothing is left, once the statistics know the blocked aggregate, and it then reads and sorts
 * the whole shard for every claim. `limit $6` leaves room for the rows that are no events.
 */
export function claimAroundBlockedStatement(table: string, type: PayloadType): string {
  return `${claimColumns("$8")}, is_blocked, is_last_look
  from (
    select *, sum(bytes) over (rows between unbounded preceding and 1 preceding) as bytes_before
      from (
        select e.*
          from unnest($1::smallint[], $2::timestamptz[], $3::bigint[], $4::timestamptz[], $9::smallint[])
               as c(shard, created_at, seq, fence, slot)
         cross join lateral (
           select o.*, o.place = $11 as is_last_look, case when o.is_blocked then 0 else ${sizeOf(type)} end as bytes
             from (
               select o.ctid, o.shard, o.seq, o.created_at, o.event_id, o.aggregate_id, o.event_type,
                      o.aggregate_type, o.topic, o.headers, o.event_payload,
                      o.aggregate_id = any ($10::text[]) as is_blocked,
                      row_number() over (order by o.created_at, o.seq) as place
                 from ${table} as o
                where o.shard = c.shard
                  and (o.created_at, o.seq) > (c.created_at, c.seq)
                  and o.created_at < c.fence
                  and (c.slot < 0 or ${slotOf("o")} = c.slot)
                order by o.created_at, o.seq
                limit $11
             ) as o
            where not o.is_blocked or o.place = $11
            order by o.created_at, o.seq
            limit $5
         ) as e
         limit $6::int + cardinality($1::smallint[])
      ) as candidate
  ) as measured
 where bytes_before is null or bytes_before < $7`;
}

/**
 * Per shard, the first row of a range that is not blocked, or the last one that was looked at. `$1`
 * shards, `$2..$3` from, `$4..$5` until, `$6` rows a shard, `$7` blocked aggregates.
 *
 * The limit stands inside, on the rows looked at: outside, on the rows found, it would let one blocked
 * aggregate of a million rows be read in one go. The numbering follows the index, so nothing is sorted,
 * and the outer limit ends the reading at the first row found.
 */
export function searchStatement(table: string): string {
  return `select c.shard, to_json(stop.created_at)#>>'{}', stop.seq::text, not stop.is_blocked
  from unnest($1::smallint[], $2::timestamptz[], $3::bigint[], $4::timestamptz[], $5::bigint[])
         as c (shard, from_time, from_seq, until_time, until_seq)
 cross join lateral (
   select seen.created_at, seen.seq, seen.is_blocked
     from (
       select o.created_at, o.seq, o.aggregate_id = any ($7::text[]) as is_blocked,
              row_number() over (order by o.created_at, o.seq) as place
         from ${table} as o
        where o.shard = c.shard
          and (o.created_at, o.seq) > (c.from_time, c.from_seq)
          and (o.created_at, o.seq) <= (c.until_time, c.until_seq)
        order by o.created_at, o.seq
        limit $6
     ) as seen
    where not seen.is_blocked or seen.place = $6
    order by seen.created_at, seen.seq
    limit 1
 ) as stop`;
}

/**
 * How many rows there are, up to a limit, and how old the oldest one is. Beyond the limit the rows that were
 * counted are not all; then the first one of a shard stands for the others, whose first ones are about as old.
 */
export function backlogStatement(table: string): string {
  return `select count(*)::text,
       (extract(epoch from clock_timestamp() - case when count(*) < $1::int then min(created_at) else least(
          min(created_at), (select created_at from ${table} order by shard, created_at, seq limit 1)) end)
        * 1000)::bigint::text
  from (select created_at from ${table} limit $1::int) as counted`;
}

/** The columns of `claimStatement`, for the one event that a blocked aggregate tries again. */
export function headStatement(table: string, type: PayloadType): string {
  return `select ${slotOf("measured")}, seq, to_json(created_at), event_id, aggregate_id, event_type, aggregate_type,
       topic, headers, case when bytes <= $5 then event_payload end, bytes, ctid
  from (
    select o.ctid, o.*, ${sizeOf(type)} as bytes
      from ${table} as o
     where o.shard = $1::smallint and o.aggregate_id = $2
       and (o.created_at, o.seq) >= ($3::timestamptz, $4::bigint)
     order by o.created_at, o.seq
     limit 1
  ) as measured`;
}

/**
 * As many rows may a removal have whose plan is kept. A kept plan knows no values, so PostgreSQL cannot build a hash
 * table of the ids and searches the list for each row instead: with 2,000 of them that doubles what a delete costs.
 */
const keptRowsMax = 64;

/** Whether a removal of so many rows goes by a plan that is kept. */
export function isKeptRemoval(rows: number): boolean {
  return rows <= keptRowsMax;
}

/**
 * Deletes by row address *and* key. Half the price of a delete is finding the row by its key; an
 * address alone is unsafe, because VACUUM FULL and CLUSTER move rows. Rows that are not found this
 * way are deleted by `removeByKeyStatement`.
 *
 * `is true` keeps the planner from the index of the key: it takes 2,000 random pages by address for dearer
 * than 2,000 descents of the index, and a delete then costs twice as much (7.4 against 3.5 microseconds a row).
 *
 * The mark is taken in the same transaction. Should a look fall between the table lock and the mark,
 * it sees an unmarked writer and holds the fence a moment longer than needed: harmless.
 */
export function removeStatement(table: string): string {
  return `delete from ${table}
 where ctid = any ($1::tid[]) and (event_id = any ($2::uuid[])) is true
   and (select true from pg_advisory_xact_lock_shared(${removalMark.classId}, ${removalMark.objectId}))`;
}

export function removeByKeyStatement(table: string): string {
  return `delete from ${table}
 where event_id = any ($1::uuid[])
   and (select true from pg_advisory_xact_lock_shared(${removalMark.classId}, ${removalMark.objectId}))`;
}
