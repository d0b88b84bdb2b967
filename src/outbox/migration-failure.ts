/** Turns what PostgreSQL said during a migration into a sentence with a repair. */
import type { ClientBase } from "pg";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import { turnLock } from "./migration-script.ts";
import { connectionError, sqlstateOf } from "./postgres-connection.ts";
import { quoteIdentifier } from "./statements.ts";

/** Waited longer than lock_timeout, or was chosen as the victim of a deadlock. */
const busy = new Set(["55P03", "40P01"]);

/**
 * The error to throw for what was caught. `client` must be outside a transaction: for a lock that
 * could not be had it is asked who holds it, as far as this role may see.
 */
export async function explainFailure(
  thrown: unknown,
  { client, schema, doing }: { client: ClientBase; schema: string; doing: string },
): Promise<OutriderError> {
  if (thrown instanceof OutriderError) return thrown;
  const sqlstate = sqlstateOf(thrown);
  if (sqlstate === undefined || sqlstate.startsWith("08") || sqlstate.startsWith("57P"))
    return connectionError(thrown);
  if (busy.has(sqlstate)) {
    return busyError(thrown, doing, await findHolders(client, schema).catch(() => []));
  }
  const hint = (thrown as { hint?: string }).hint;
  return new OutriderError("MIGRATION_FAILED", `${doing} failed, nothing was changed: ${messageOf(thrown)}`, {
    repair:
      hint ??
      (sqlstate === "42501" ? rightsRepair(schema) : "repair what the message names, then run it again"),
    cause: thrown,
  });
}

function rightsRepair(schema: string): string {
  return `run it as the owner of the table, with: grant usage, create on schema ${quoteIdentifier(schema)} to that role`;
}

interface Holder {
  readonly pid: number | null;
  readonly application: string | null;
}

function busyError(thrown: unknown, doing: string, holders: readonly Holder[]): OutriderError {
  const pids = holders.flatMap(({ pid }) => (pid === null ? [] : [pid]));
  const by = holders.length === 0 ? "" : `, held by ${holders.map(describeHolder).join(", ")}`;
  const end =
    pids.length === 0
      ? ""
      : `, or end it: ${pids.map((pid) => `select pg_terminate_backend(${pid})`).join("; ")}`;
  return new OutriderError(
    "MIGRATION_BUSY",
    `${doing} waited too long for a lock${by}; nothing was changed`,
    {
      repair: `wait until that transaction has ended and run it again${end}`,
      retriable: true,
      cause: thrown,
    },
  );
}

function describeHolder({ pid, application }: Holder): string {
  if (pid === null) return "a prepared transaction (see pg_prepared_xacts)";
  return application === null || application === "" ? `pid ${pid}` : `pid ${pid} (${application})`;
}

/** The sessions that hold a lock a migration needs: on its tables, or its turn. */
async function findHolders(client: ClientBase, schema: string): Promise<Holder[]> {
  const { rows } = await client.query<Holder>(
    `select distinct l.pid, a.application_name as application
       from pg_catalog.pg_locks l
       left join pg_catalog.pg_stat_activity a on a.pid = l.pid
      where l.granted
        and l.pid is distinct from pg_backend_pid()
        and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
        and ((l.locktype = 'relation' and l.relation in (
               select c.oid from pg_catalog.pg_class c
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                where n.nspname = $1 and c.relname in ('undispatched_events', 'processed_events', 'outrider_migrations')))
          or (l.locktype = 'advisory' and l.classid = $2::int::oid and l.objid = $3::int::oid and l.objsubid = 2))`,
    [schema, turnLock.classId, turnLock.objectId],
  );
  return rows;
}
