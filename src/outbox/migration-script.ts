/**
 * A run of migrations as text. The migrator, the printed script and the Kysely provider all execute
 * the texts made here, so that they cannot differ. Every step looks into the bookkeeping itself and
 * does nothing when it has nothing to do: a printed script is safe on any state and safe twice.
 *
 * Everything is `set local` and transaction-level: nothing is left in a session, so it works through a
 * pooler in transaction mode. Names come in as quoted literals and identifiers, never into a body.
 */
import { OutriderError } from "../foundation/errors.ts";
import { knownMigrations, type Migration } from "./migration-files.ts";
import { type Direction, type MigrationPart, planMigrations } from "./migration-plan.ts";
import { type PayloadType, quoteIdentifier, removalMark } from "./statements.ts";

/** Held by one migrator at a time, for its transaction. Beside the mark of the relay's removals. */
export const turnLock = { classId: removalMark.classId, objectId: 2 } as const;

export interface ScriptOptions {
  /** Any name PostgreSQL can hold: 1 to 63 bytes, no NUL. Created when it is missing. */
  readonly schema: string;
  /** Default "up". */
  readonly direction?: Direction | undefined;
  /** Default: an existing column keeps its type, a new one is json. */
  readonly payloadType?: PayloadType | undefined;
  /** How long to wait for a table that is in use. All writers wait behind a migration that waits. Default 3,000. */
  readonly lockTimeoutMs?: number | undefined;
  /** How long to wait for another migrator to finish; nobody waits behind that. Default 60,000. */
  readonly turnTimeoutMs?: number | undefined;
  /** Down only: drop the outbox although events wait in it; they are lost. Default false. */
  readonly isForced?: boolean | undefined;
  /** Up: the last migration to apply. Down: the last one to keep. Default: all of them. */
  readonly to?: string | undefined;
  /** Only the outbox, or only the inbox: a consumer's database is often another one. Default: both. */
  readonly only?: MigrationPart | undefined;
  /**
   * Up: writers announce the shards that they write to, so that a transaction that stays open holds back those
   * alone. A trigger on every insert. Once it is there it stays until it is reverted (`only: "narrow-fence"`
   * down). Default false.
   */
  readonly narrowFence?: boolean | undefined;
}

/** A text constant that reads the same whatever `standard_conforming_strings` is. */
function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes("\\") ? ` E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}

/** @throws OutriderError CONFIG_INVALID when PostgreSQL would cut or refuse the name. */
export function checkSchemaName(schema: string): void {
  const bytes = Buffer.byteLength(schema);
  if (bytes >= 1 && bytes <= 63 && !schema.includes("\0")) return;
  throw new OutriderError("CONFIG_INVALID", `the schema name has ${bytes} bytes or a NUL in it`, {
    repair: "choose a name of 1 to 63 bytes",
  });
}

/** Settings of the transaction, the turn, the schema and the bookkeeping. Needs a transaction. */
export function openingOf(options: ScriptOptions): string {
  const { schema, direction = "up", payloadType, isForced = false } = options;
  checkSchemaName(schema);
  return `set local client_min_messages = warning;
set local outrider.schema = ${quoteLiteral(schema)};
set local outrider.payload_type = ${quoteLiteral(payloadType ?? "")};
set local outrider.force_down = ${isForced ? "'on'" : "'off'"};

do $outrider$
begin
  if current_setting('server_version_num')::int < 140000 then
    raise exception using errcode = 'feature_not_supported',
      message = 'PostgreSQL ' || current_setting('server_version') || ' is too old',
      hint = 'PostgreSQL 14 or newer is needed';
  end if;
end
$outrider$;

-- One migrator at a time. A table is waited for only shortly: all its writers wait behind us.
set local lock_timeout = '${options.turnTimeoutMs ?? 60_000}ms';
do $outrider$
begin
  perform pg_advisory_xact_lock(${turnLock.classId}, ${turnLock.objectId});
end
$outrider$;
set local lock_timeout = '${options.lockTimeoutMs ?? 3_000}ms';
${direction === "up" ? creation : ""}
set local search_path = ${quoteIdentifier(schema)}, pg_temp;
${direction === "up" ? bookkeeping : ""}`;
}

/** `create … if not exists` asks for the right to create even where there is nothing to create. */
const creation = `
do $outrider$
declare
  wanted constant text := current_setting('outrider.schema');
begin
  if not exists (select from pg_namespace where nspname = wanted) then
    execute format('create schema %I', wanted);
  end if;
exception when insufficient_privilege then
  raise exception using errcode = 'insufficient_privilege',
    message = format('%I may not create schema %I', current_user, wanted),
    hint = format('as a role that may: create schema %I authorization %I', wanted, current_user);
end
$outrider$;
`;

const bookkeeping = `
do $outrider$
begin
  if to_regclass('outrider_migrations') is null then
    create table outrider_migrations (
      name text primary key,
      applied_at timestamptz not null default clock_timestamp(),
      checksum text not null
    );
    comment on table outrider_migrations is
      'Migrations of the transactional outbox that are applied here; checksum is the SHA-256 of the file.';
  end if;
end
$outrider$;
`;

/** One migration with its bookkeeping. Needs the opening. */
export function stepOf({ name, up, down, checksum }: Migration, direction: Direction): string {
  const isApplied = `exists (select from outrider_migrations where name = ${quoteLiteral(name)})`;
  if (direction === "up") {
    return `
do $outrider_step$
begin
  if ${isApplied} then
    return;
  end if;
  execute $outrider_migration$
${up}$outrider_migration$;
  insert into outrider_migrations (name, checksum) values (${quoteLiteral(name)}, '${checksum}');
end
$outrider_step$;
`;
  }
  return `
do $outrider_step$
begin
  if to_regclass('outrider_migrations') is null then
    return;
  end if;
  if not ${isApplied} then
    return;
  end if;
  execute $outrider_migration$
${down}$outrider_migration$;
  delete from outrider_migrations where name = ${quoteLiteral(name)};
  if not exists (select from outrider_migrations) then
    drop table outrider_migrations;
  end if;
end
$outrider_step$;
`;
}

/** What the plan refuses when there is a connection, for a script that runs without one. */
function guardOf(known: readonly Migration[]): string {
  const rows = known.map(({ name, checksum }) => `(${quoteLiteral(name)}, '${checksum}')`).join(",\n      ");
  return `
do $outrider$
declare
  strange text;
begin
  if to_regclass('outrider_migrations') is null then
    return;
  end if;
  select string_agg(name, ', ' order by name) into strange
    from outrider_migrations as applied
   where (name, checksum) not in (values
      ${rows});
  if strange is not null then
    raise exception using errcode = 'object_not_in_prerequisite_state',
      message = 'migrations are applied here that this script does not know, or that were edited: ' || strange,
      hint = 'print the script with the version of Outrider that applied them, or a newer one';
  end if;
end
$outrider$;
`;
}

/**
 * A complete script that does what `migrate` would do, without a connection: for psql, or for
 * someone who reviews first. It is one transaction, and steps that are applied already do nothing.
 * @throws OutriderError CONFIG_INVALID for an impossible schema name, MIGRATION_FAILED for an unknown `to`.
 */
export function renderSql(options: ScriptOptions): string {
  const { direction = "up" } = options;
  const known = knownMigrations();
  const applied = direction === "up" ? [] : known;
  const steps = planMigrations(known, applied, { ...options, direction });
  return `-- Outrider, ${direction}: ${steps.map(({ name }) => name).join(", ") || "nothing"}
-- Run it with: psql --set ON_ERROR_STOP=1 --file this-file.sql
-- One transaction: an error anywhere leaves nothing behind. Safe to run again.
begin isolation level read committed read write;
set local statement_timeout = 0;
${openingOf(options)}${guardOf(known)}${steps.map((step) => stepOf(step, direction)).join("")}
commit;
`;
}
