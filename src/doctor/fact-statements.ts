/** The questions of a check-up to PostgreSQL, each answered by one JSON value. From version 13 on. */
import { announcement } from "../outbox/statements.ts";

export const serverStatement = `select json_build_object(
  'pid', pg_backend_pid(),
  'clock', clock_timestamp(),
  'isStandby', pg_is_in_recovery(),
  'isReadOnly', current_setting('default_transaction_read_only') = 'on',
  'autovacuum', current_setting('autovacuum') = 'on' and current_setting('track_counts') = 'on',
  'fsync', current_setting('fsync') = 'on',
  'synchronousCommit', current_setting('synchronous_commit') <> 'off',
  'statementTimeoutMs', (select setting::bigint from pg_catalog.pg_settings where name = 'statement_timeout'),
  'lockSlots', current_setting('max_locks_per_transaction')::bigint
               * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)
)::text`;

/**
 * `$1` schema, `$2` role or null for the connected one. No row when there is no such role. What a
 * superuser may is said as it is; whether it owns the table is then not asked, because it "owns" all.
 */
export const rightsStatement = `select json_build_object(
  'name', r.rolname,
  'isSuperuser', r.rolsuper,
  'isBootstrap', r.oid = 10,
  'isOwner', not r.rolsuper and coalesce(pg_has_role(r.oid, c.relowner, 'usage'), false),
  'hasSchemaUsage', coalesce(has_schema_privilege(r.oid, n.oid, 'usage'), false),
  'tables', (
     select coalesce(json_object_agg(t.relname, json_build_object(
              'select', has_table_privilege(r.oid, t.oid, 'select'),
              'insert', has_table_privilege(r.oid, t.oid, 'insert'),
              'update', has_table_privilege(r.oid, t.oid, 'update'),
              'delete', has_table_privilege(r.oid, t.oid, 'delete'),
              'hidesRows', t.relrowsecurity and not r.rolsuper and not r.rolbypassrls
                           and (t.relforcerowsecurity or not pg_has_role(r.oid, t.relowner, 'usage')))), '{}')
       from pg_catalog.pg_class t
      where t.relnamespace = n.oid and t.relkind in ('r', 'p')
        and (t.relname in ('undispatched_events', 'processed_events') or t.relname like 'outrider\\_%')),
  'excess', (
     select coalesce(json_agg(json_build_object(
              'privilege', lower(a.privilege_type),
              'grantee', case when a.grantee = 0 then null else pg_get_userbyid(a.grantee) end)), '[]')
       from aclexplode(c.relacl) as a
      where a.privilege_type in ('UPDATE', 'TRUNCATE') and a.grantee <> c.relowner
        and case when a.grantee = 0 then true else pg_has_role(r.oid, a.grantee, 'usage') end)
)::text
  from pg_catalog.pg_roles r
  left join pg_catalog.pg_namespace n on n.nspname = $1
  left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = 'undispatched_events'
 where r.rolname = coalesce($2::text, current_user::text)`;

/** `$1` schema. */
export const tableStatement = `select json_build_object(
  'options', coalesce(c.reloptions, '{}'),
  'toastOptions', (select coalesce(t.reloptions, '{}') from pg_catalog.pg_class t where t.oid = c.reltoastrelid),
  'createdAtDefault', (
     select pg_get_expr(d.adbin, d.adrelid)
       from pg_catalog.pg_attribute a
       join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid and a.attname = 'created_at'),
  'invalidIndex', (
     select o.relname from pg_catalog.pg_index i join pg_catalog.pg_class o on o.oid = i.indexrelid
      where i.indrelid = c.oid and not i.indisvalid and o.relname = 'undispatched_events_order'),
  'announcing', (
     select tgenabled from pg_catalog.pg_trigger where tgrelid = c.oid and tgname = '${announcement.trigger}'),
  'deadTuples', pg_stat_get_dead_tuples(c.oid),
  'liveTuples', pg_stat_get_live_tuples(c.oid),
  'stampers', (
     select coalesce(json_agg(distinct case when given.grantee = 0 then null else pg_get_userbyid(given.grantee) end), '[]')
       from (select a.grantee, a.privilege_type from aclexplode(c.relacl) as a
             union all
             select a.grantee, a.privilege_type
               from pg_catalog.pg_attribute k, aclexplode(k.attacl) as a
              where k.attrelid = c.oid and k.attname = 'created_at') as given
      where given.privilege_type = 'INSERT' and given.grantee <> c.relowner)
)::text
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = $1
 where c.relname = 'undispatched_events'`;

/** Named at most; the oldest first. */
const holdersMax = 20;

/**
 * `$1` pids of the writers. Snapshots of this database, of standbys, of prepared transactions and of
 * slots: what vacuum's horizon is made of. A slot's catalog_xmin holds the catalogs only.
 */
export const holdersStatement = `select json_agg(holder)::text from (
  (select json_build_object(
            'kind', case when backend_type = 'walsender' then 'standby' else 'session' end,
            'pid', pid, 'application', coalesce(application_name, ''), 'user', usename, 'state', state,
            'isWriter', pid = any ($1::int[]),
            'ageMs', (extract(epoch from clock_timestamp() - coalesce(xact_start, backend_start)) * 1000)::bigint) as holder
     from pg_catalog.pg_stat_activity
    where (datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
           and (backend_xid is not null or backend_xmin is not null))
       or (backend_type = 'walsender' and backend_xmin is not null)
    order by xact_start nulls last
    limit ${holdersMax})
  union all
  (select json_build_object('kind', 'prepared', 'gid', gid, 'owner', owner,
            'ageMs', (extract(epoch from clock_timestamp() - prepared) * 1000)::bigint)
     from pg_catalog.pg_prepared_xacts where database = current_database()
    order by prepared
    limit ${holdersMax})
  union all
  (select json_build_object('kind', 'slot', 'slot', slot_name, 'isActive', active, 'holdsRows', xmin is not null,
            'ageMs', 0, 'walBytes', coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery()
               then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn), 0)::bigint)
     from pg_catalog.pg_replication_slots
    limit ${holdersMax})
) as held`;

const destinationRowsMax = 10_000;

/** From the first rows that the table gives; `schema` is quoted. */
export function destinationsStatement(schema: string): string {
  return `select json_agg(distinct jsonb_build_object('topic', topic, 'aggregateType', aggregate_type))::text
  from (select topic, aggregate_type from ${schema}.undispatched_events limit ${destinationRowsMax}) as first`;
}

/** Rows from each end of each shard. */
const stampRowsMax = 20;

export function stampsStatement(schema: string): string {
  const end = (direction: string) => `(select created_at, seq from ${schema}.undispatched_events
     where shard = s.shard::smallint order by created_at${direction}, seq${direction} limit ${stampRowsMax})`;
  return `select json_build_object('clock', statement_timestamp(), 'stamps', (
    select json_agg(json_build_object('createdAt', e.created_at, 'seq', e.seq::text))
      from generate_series(0, 63) as s (shard) cross join lateral (${end("")} union ${end(" desc")}) as e))::text`;
}

const standingRowsMax = 100_000;

export function standingStatement(schema: string): string {
  return `select json_build_object(
  'blocked', (select count(*) from (select from ${schema}.outrider_blocked_aggregates limit ${standingRowsMax}) as b),
  'deadLetters', (select count(*) from (select from ${schema}.outrider_dead_letters limit ${standingRowsMax}) as d)
)::text`;
}
