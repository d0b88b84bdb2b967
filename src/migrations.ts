/**
 * The outbox as Kysely migrations, for applications that run all of theirs with Kysely's Migrator.
 *
 *     const migrator = new Migrator({
 *       db,
 *       provider: outriderMigrations({ schema: "public" }),
 *       migrationTableName: "outbox_migration",
 *       migrationLockTableName: "outbox_migration_lock",
 *     });
 *
 * Give it table names of its own, as above: with Kysely's default names it would take the
 * application's own migrations for lost ones. `outrider migrate` and this provider share their
 * bookkeeping, so that either finds what the other has done. A consumer that needs the inbox alone says
 * `only: "inbox"`.
 */
import { knownMigrations } from "./outbox/migration-files.ts";
import { type Direction, planMigrations } from "./outbox/migration-plan.ts";
import { openingOf, type ScriptOptions, stepOf } from "./outbox/migration-script.ts";

/** What is needed of a Kysely instance, of any version since 0.28: executing a finished statement. */
export interface StatementExecutor {
  executeQuery(statement: RawStatement): Promise<unknown>;
}

interface RawStatement {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  readonly query: {
    readonly kind: "RawNode";
    readonly sqlFragments: readonly string[];
    readonly parameters: readonly [];
  };
  readonly queryId: { readonly queryId: string };
}

export interface OutriderMigration {
  up(db: StatementExecutor): Promise<void>;
  down(db: StatementExecutor): Promise<void>;
}

/** Satisfies Kysely's `MigrationProvider`. */
export interface OutriderMigrationProvider {
  getMigrations(): Promise<Record<string, OutriderMigration>>;
}

export type OutriderMigrationsOptions = Omit<ScriptOptions, "direction" | "to">;

/** @throws OutriderError CONFIG_INVALID, from `up` and `down`, for an impossible schema name. */
export function outriderMigrations(options: OutriderMigrationsOptions): OutriderMigrationProvider {
  const run = async (db: StatementExecutor, text: string): Promise<void> => {
    await db.executeQuery({
      sql: text,
      parameters: [],
      query: { kind: "RawNode", sqlFragments: [text], parameters: [] },
      queryId: { queryId: "outrider" },
    });
  };
  const textOf = (step: string, direction: Direction) =>
    [keep, openingOf({ ...options, direction }), step, giveBack].join("\n");
  return {
    async getMigrations() {
      const { only, narrowFence } = options;
      const meant = planMigrations(knownMigrations(), [], { direction: "up", only, narrowFence });
      const entries = meant.map((migration): [string, OutriderMigration] => [
        migration.name,
        {
          up: (db) => run(db, textOf(stepOf(migration, "up"), "up")),
          down: (db) => run(db, textOf(stepOf(migration, "down"), "down")),
        },
      ]);
      return Object.fromEntries(entries);
    },
  };
}

const borrowed = [
  "search_path",
  "lock_timeout",
  "client_min_messages",
  "synchronize_seqscans",
  "row_security",
];

/**
 * The transaction is Kysely's, and goes on with Kysely's own tables: what a step sets is put back. The
 * text is one query, so that it is one transaction also where Kysely was told to use none.
 */
const keep = borrowed
  .map((name) => `select set_config('outrider.kept_${name}', current_setting('${name}'), true);`)
  .join("\n");
const giveBack = borrowed
  .map((name) => `select set_config('${name}', current_setting('outrider.kept_${name}'), true);`)
  .join("\n");
