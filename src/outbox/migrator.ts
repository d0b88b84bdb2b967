/**
 * Brings outbox and inbox (or one of them) into a schema, or takes them out: one transaction, all or nothing, one migrator at
 * a time, safe to run again. Nothing outlives the transaction (no session setting, no session lock,
 * no named statement), so it works through a pooler in transaction mode; it needs no superuser, no
 * extension, and no right to create a schema that exists.
 *
 *     look ──nothing pending──► done
 *      │ pending
 *      ▼
 *     begin ► turn (advisory lock) ► look again ► each migration with its bookkeeping ► commit
 *                                        any error ► rollback: nothing was changed
 */
import type { ClientBase } from "pg";
import { OutriderError } from "../foundation/errors.ts";
import { explainFailure } from "./migration-failure.ts";
import { knownMigrations, type Migration } from "./migration-files.ts";
import { type AppliedMigration, type Direction, planMigrations } from "./migration-plan.ts";
import { checkSchemaName, openingOf, type ScriptOptions, stepOf } from "./migration-script.ts";
import { type PayloadType, quoteIdentifier } from "./statements.ts";

export { knownMigrations, type Migration } from "./migration-files.ts";
export { renderSql, type ScriptOptions } from "./migration-script.ts";

export interface MigrateOptions extends ScriptOptions {
  /** Only say what would be run. Reads the bookkeeping, takes no lock, looks at no row. Default false. */
  readonly isDryRun?: boolean | undefined;
}

export interface MigrationReport {
  readonly schema: string;
  readonly direction: Direction;
  readonly isDryRun: boolean;
  /** Names in the order they were run; for a dry run, would be run. */
  readonly migrations: readonly string[];
}

/**
 * Applies (or with `direction: "down"` reverts) migrations on a connection outside a transaction.
 * @throws OutriderError MIGRATION_BUSY (retriable), MIGRATION_FAILED, SCHEMA_NEWER, CONFIG_INVALID (schema
 *   name), OUTBOX_UNAVAILABLE. Whatever is thrown, nothing was changed, unless the connection broke in
 *   the commit itself; running it again is right in that case too.
 */
export async function migrate(client: ClientBase, options: MigrateOptions): Promise<MigrationReport> {
  const { schema, direction = "up", isDryRun = false } = options;
  const plan = await pendingMigrations(client, options);
  const isIdle = plan.length === 0;
  if (direction === "up") await checkPayloadType(client, options, plan);
  const run = isDryRun || isIdle ? plan : await runInTransaction(client, options);
  return { schema, direction, isDryRun, migrations: run.map(({ name }) => name) };
}

/**
 * What `migrate` would run now, in that order. Changes nothing and takes no lock.
 * @throws OutriderError like `migrate`.
 */
export async function pendingMigrations(
  client: ClientBase,
  options: Pick<MigrateOptions, "schema" | "direction" | "to" | "only" | "narrowFence">,
): Promise<readonly Migration[]> {
  const { schema, direction = "up" } = options;
  checkSchemaName(schema);
  try {
    return planMigrations(knownMigrations(), await readApplied(client, schema), { ...options, direction });
  } catch (error) {
    throw await explainFailure(error, { client, schema, doing: "reading outrider_migrations" });
  }
}

async function readApplied(client: ClientBase, schema: string): Promise<AppliedMigration[]> {
  const table = `${quoteIdentifier(schema)}.outrider_migrations`;
  const { rows } = await client.query<{ is_there: boolean }>(
    "select to_regclass($1) is not null as is_there",
    [table],
  );
  if (rows[0]?.is_there !== true) return [];
  return (await client.query<AppliedMigration>(`select name, checksum from ${table}`)).rows;
}

async function runInTransaction(client: ClientBase, options: MigrateOptions): Promise<readonly Migration[]> {
  const { schema, direction = "up" } = options;
  let doing = "preparing the migration";
  try {
    // Read committed, whatever the database's default: what we read after the wait must be new.
    await client.query("begin isolation level read committed read write");
    await client.query("set local statement_timeout = 0");
    await client.query(openingOf(options));
    const applied = await readApplied(client, schema);
    const plan = planMigrations(knownMigrations(), applied, { ...options, direction });
    for (const migration of plan) {
      doing = `migration ${migration.name} (${direction})`;
      await client.query(stepOf(migration, direction));
    }
    doing = "the commit of the migration";
    await client.query("commit");
    return plan;
  } catch (error) {
    // A connection that cannot even roll back is broken; the server rolls back by itself.
    await client.query("rollback").catch(() => undefined);
    throw await explainFailure(error, { client, schema, doing });
  }
}

/** The payload type is decided once; asking for another one later must not be passed over in silence. */
async function checkPayloadType(
  client: ClientBase,
  { schema, payloadType }: Pick<MigrateOptions, "schema" | "payloadType">,
  plan: readonly Migration[],
): Promise<void> {
  const deciding = knownMigrations()[0]?.name;
  if (payloadType === undefined || plan.some(({ name }) => name === deciding)) return;
  const present = await readPayloadType(client, schema);
  if (present === undefined || present === payloadType) return;
  throw new OutriderError(
    "MIGRATION_FAILED",
    `event_payload of ${quoteIdentifier(schema)}.undispatched_events is ${present} already, not ${payloadType}`,
    {
      repair: `leave the payload type out, or once the outbox is empty: migrate down, and up again with ${payloadType}`,
    },
  );
}

async function readPayloadType(client: ClientBase, schema: string): Promise<PayloadType | undefined> {
  const { rows } = await client.query<{ type: PayloadType }>(
    `select format_type(a.atttypid, null) as type
       from pg_catalog.pg_attribute a
       join pg_catalog.pg_class c on c.oid = a.attrelid and c.relname = 'undispatched_events'
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = $1
      where a.attname = 'event_payload' and not a.attisdropped`,
    [schema],
  );
  return rows[0]?.type;
}
