/**
 * The statements of the inbox. Every parameter is cast from text, and every answer is one column of
 * text: `foundation/transaction.ts` says why.
 *
 * The conflict names its columns. Without them, a table that had lost its key would take every mark,
 * and every delivery would count as the first; so it is an error (42P10).
 */
import { tableIn } from "../foundation/sql-text.ts";

const table = (schema: string | undefined) => tableIn(schema, "processed_events");

/** `$1` consumer, `$2` event id. One row when the event was not marked before, none when it was. */
export function markStatement(schema: string | undefined): string {
  return `insert into ${table(schema)} (consumer, event_id) values ($1::text, $2::text::uuid) on conflict (consumer, event_id) do nothing returning event_id::text`;
}

/**
 * `$1` consumer, `$2` event ids with commas between. A row for each that was not marked before. Sorted,
 * because two transactions that mark the same events in different orders would wait for each other.
 */
export function markEachStatement(schema: string | undefined): string {
  return `insert into ${table(schema)} (consumer, event_id) select $1::text, id from unnest(string_to_array($2::text, ',')::uuid[]) as given(id) order by id on conflict (consumer, event_id) do nothing returning event_id::text`;
}

/**
 * `$1` retention in ms, `$2` most rows to delete. Answers with how many were deleted. The time is that
 * of the statement, because a clock that moves while it runs could not use the index. The rows are
 * found by ctid within one statement, whose snapshot keeps vacuum from giving their places away; two
 * prunings at once meet the same rows in the same order, so that one waits for the other.
 */
export function pruneStatement(schema: string | undefined): string {
  const marks = table(schema);
  return `with pruned as (delete from ${marks} where ctid = any (array(select ctid from ${marks} where processed_at < statement_timestamp() - $1::text::bigint * interval '1 millisecond' order by processed_at limit $2::text::bigint)) returning 1) select count(*)::text as pruned from pruned`;
}

/**
 * Always an error, whoever runs it, and so the end of the transaction (or savepoint). The text is what
 * the logs will show. It has no sign that a library could take for a placeholder.
 */
export const spoilStatement =
  "select cast('outrider - the work for an event failed, so its transaction must not commit' as integer)";

/** `$1` schema. One row: `ready`, `missing` (no table), or `forbidden` (no right to prune). Needs no right. */
export const prunableStatement = `select coalesce((
  select case when has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
               and has_table_privilege(c.oid, 'delete') then 'ready' else 'forbidden' end
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where n.nspname = $1::text and c.relname = 'processed_events'), 'missing') as state`;
