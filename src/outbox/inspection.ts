/**
 * Whether the table can be relayed at all: read once at the start, judged purely. Each fault says
 * how to repair it; all are reported together.
 */
import type { Fault } from "./outbox.ts";
import { quoteIdentifier } from "./statements.ts";

/** What the catalogs say about the outbox table and this role. */
export interface TableFacts {
  readonly exists: boolean;
  readonly role: string;
  readonly kind: string;
  readonly persistence: string;
  readonly columns: readonly string[];
  readonly payloadType: string | null;
  readonly hasOrderIndex: boolean;
  /**
   * The sequence behind `seq`, quoted; null when this role may not read it, or when it does not tell of every insert
   * because sessions take numbers in advance.
   */
  readonly sequence: string | null;
  readonly hidesRows: boolean;
  readonly maySelect: boolean;
  readonly mayDelete: boolean;
  /** The tables that say who relays what; null when they are not there. */
  readonly mayLease: boolean | null;
  /** The tables of blocks and dead letters; null when one of them is not there. */
  readonly mayRefuse: boolean | null;
  /** Names of applied migrations; null when the bookkeeping is absent or this role may not read it. */
  readonly migrations: readonly string[] | null;
}

/** One row of facts. `$1` schema, `$2` quoted table name. Asks for nothing that needs a right. */
export const factsStatement = `select json_build_object(
  'exists', c.oid is not null,
  'role', current_user,
  'kind', c.relkind,
  'persistence', c.relpersistence,
  'columns', (select coalesce(json_agg(attname), '[]') from pg_catalog.pg_attribute a
               where a.attrelid = c.oid and attnum > 0 and not attisdropped),
  'payloadType', (select format_type(atttypid, null) from pg_catalog.pg_attribute a
                   where a.attrelid = c.oid and attname = 'event_payload'),
  'hasOrderIndex', exists (
     select 1 from pg_catalog.pg_index i
      where i.indrelid = c.oid and i.indisvalid and i.indpred is null
        and (select array_agg(a.attname::text order by k.place)
               from unnest(i.indkey::int[]) with ordinality as k(number, place)
               join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
              where k.place <= 3) = array['shard', 'created_at', 'seq']),
  'sequence', (
     select case when has_sequence_privilege(s.oid, 'select')
                  and (select seqcache = 1 from pg_catalog.pg_sequence where seqrelid = s.oid)
                 then format('%I.%I', n.nspname, s.relname) end
       from pg_catalog.pg_depend d
       join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
       join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
      where d.refobjid = c.oid and d.deptype in ('i', 'a') and a.attname = 'seq'
      limit 1),
  'hidesRows', coalesce(row_security_active(c.oid), false),
  'maySelect', coalesce(has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'), false),
  'mayLease', (select bool_and(has_table_privilege(l.oid, 'select') and has_table_privilege(l.oid, 'update')
                  and (l.relname = 'outrider_shard_leases'
                    or (has_table_privilege(l.oid, 'insert') and has_table_privilege(l.oid, 'delete'))))
                 from pg_catalog.pg_class l
                where l.relnamespace = n.oid and l.relname in ('outrider_shard_leases', 'outrider_members')),
  'mayRefuse', (select case when count(*) = 2 then bool_and(has_table_privilege(t.oid, 'select')
                  and has_table_privilege(t.oid, 'insert') and has_table_privilege(t.oid, 'update')
                  and (t.relname = 'outrider_dead_letters' or has_table_privilege(t.oid, 'delete'))) end
                 from pg_catalog.pg_class t
                where t.relnamespace = n.oid
                  and t.relname in ('outrider_blocked_aggregates', 'outrider_dead_letters')),
  'mayDelete', coalesce(has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'delete'), false)
)::text
  from (select 1) as once
  left join pg_catalog.pg_namespace n on n.nspname = $1
  left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = 'undispatched_events'`;

const needed = [
  "event_id",
  "aggregate_id",
  "created_at",
  "event_payload",
  "seq",
  "event_type",
  "aggregate_type",
  "topic",
  "headers",
  "shard",
];

/** All that is wrong, or an empty list. `table` is the quoted name for the repairing statements. */
export function judge(facts: TableFacts, table: string, known: readonly string[]): Fault[] {
  if (!facts.exists) {
    return [{ code: "table-missing", message: `there is no table ${table}`, repair: "outrider migrate" }];
  }
  const faults: Fault[] = [];
  const role = quoteIdentifier(facts.role);
  const add = (code: string, message: string, repair: string) => faults.push({ code, message, repair });
  if (facts.kind !== "r")
    add(
      "table-kind",
      `${table} is no plain table`,
      "relay from a plain table: views and partitioned tables are not supported",
    );
  if (facts.persistence === "u") {
    add(
      "table-unlogged",
      `${table} is UNLOGGED: PostgreSQL empties it after a crash`,
      `alter table ${table} set logged`,
    );
  }
  const missing = needed.filter((column) => !facts.columns.includes(column));
  if (missing.length > 0) add("columns-missing", `${table} lacks ${missing.join(", ")}`, "outrider migrate");
  else if (!facts.hasOrderIndex) {
    add(
      "index-missing",
      `${table} has no valid index on (shard, created_at, seq)`,
      `create index concurrently undispatched_events_order on ${table} (shard, created_at, seq)`,
    );
  }
  if (facts.payloadType !== null && !["json", "jsonb", "bytea"].includes(facts.payloadType)) {
    add("payload-type", `event_payload of ${table} is ${facts.payloadType}`, "outrider migrate");
  }
  if (facts.hidesRows) {
    add(
      "row-security",
      `row security hides rows of ${table} from ${facts.role}`,
      `create policy outrider_relay on ${table} to ${role} using (true); alter role ${role} bypassrls`,
    );
  }
  if (!facts.maySelect || !facts.mayDelete) {
    add(
      "rights-missing",
      `${facts.role} may not read and delete in ${table}`,
      `grant usage on schema ${table.split(".")[0]} to ${role}; grant select, delete on ${table} to ${role}`,
    );
  }
  faults.push(...judgeSideTables(facts, table));
  const newer = (facts.migrations ?? []).filter((name) => !known.includes(name));
  if (newer.length > 0) {
    add(
      "schema-newer",
      `the database has migrations that this version does not know: ${newer.join(", ")}`,
      "run the version of Outrider that applied them, or a newer one",
    );
  }
  return faults;
}

/** The tables beside the outbox: leases, blocks and dead letters. */
function judgeSideTables({ role, mayLease, mayRefuse }: TableFacts, table: string): Fault[] {
  const schema = table.split(".")[0];
  const faults: Fault[] = [];
  const add = (code: string, message: string, repair: string) => faults.push({ code, message, repair });
  if (mayLease === null) add("leases-missing", "the tables of the leases are missing", "outrider migrate");
  else if (!mayLease) {
    add(
      "lease-rights-missing",
      `${role} may not renew leases`,
      `grant select, update on ${schema}.outrider_shard_leases to ${quoteIdentifier(role)}; grant select, insert, update, delete on ${schema}.outrider_members to ${quoteIdentifier(role)}`,
    );
  }
  if (mayRefuse === null) {
    add(
      "dead-letters-missing",
      "the tables of blocked events and dead letters are missing",
      "outrider migrate",
    );
  } else if (!mayRefuse) {
    add(
      "dead-letter-rights-missing",
      `${role} may not write down rejected events`,
      `grant select, insert, update, delete on ${schema}.outrider_blocked_aggregates to ${quoteIdentifier(role)}; grant select, insert, update on ${schema}.outrider_dead_letters to ${quoteIdentifier(role)}`,
    );
  }
  return faults;
}
