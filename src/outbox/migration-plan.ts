/** Which migrations a run applies or reverts: a decision on names and checksums alone. */
import { OutriderError } from "../foundation/errors.ts";
import type { Migration } from "./migration-files.ts";

export type Direction = "up" | "down";

/**
 * What a migration belongs to. A consumer's database needs the inbox alone, and no outbox; the narrow fence
 * costs writers something, and is there only for those who ask for it.
 */
export type MigrationPart = "outbox" | "inbox" | "narrow-fence";

const partNames: readonly (readonly [RegExp, MigrationPart])[] = [
  [/^\d{4}_inbox(?:_|$)/, "inbox"],
  [/^\d{4}_narrow_fence(?:_|$)/, "narrow-fence"],
];

export function partOf(name: string): MigrationPart {
  return partNames.find(([pattern]) => pattern.test(name))?.[1] ?? "outbox";
}

/** A row of the bookkeeping. */
export interface AppliedMigration {
  readonly name: string;
  readonly checksum: string;
}

export interface Target {
  readonly direction: Direction;
  /** Up: the last one to apply. Down: the last one to keep. Unset: all of them. */
  readonly to?: string | undefined;
  /** Leaves the migrations of the other parts as they are. Unset: outbox and inbox, and on the way down all. */
  readonly only?: MigrationPart | undefined;
  /** Up: the narrow fence as well. Default: what is applied of it is brought up to date. */
  readonly narrowFence?: boolean | undefined;
}

/**
 * What to run, in the order to run it.
 * @throws OutriderError SCHEMA_NEWER when something unknown is applied; MIGRATION_FAILED when an applied
 *   file was edited, or when there is no migration of the name `to`.
 */
export function planMigrations(
  known: readonly Migration[],
  applied: readonly AppliedMigration[],
  target: Target,
): readonly Migration[] {
  const { direction, to } = target;
  refuseUnknown(known, applied);
  refuseEdited(known, applied);
  if (to !== undefined && !known.some(({ name }) => name === to)) {
    throw new OutriderError("MIGRATION_FAILED", `there is no migration "${to}"`, {
      repair: `use one of ${known.map(({ name }) => name).join(", ")}`,
    });
  }
  const done = new Set(applied.map(({ name }) => name));
  // Whoever has asked for it once gets what has been added to it since.
  const isNarrow = applied.some(({ name }) => partOf(name) === "narrow-fence");
  const asked = { ...target, narrowFence: target.narrowFence === true || isNarrow };
  const meant = known.filter(({ name }) => name === to || isMeant(partOf(name), asked));
  if (direction === "up") {
    return meant.filter(({ name }) => !done.has(name) && (to === undefined || name <= to));
  }
  return meant.filter(({ name }) => done.has(name) && (to === undefined || name > to)).reverse();
}

function isMeant(part: MigrationPart, { direction, only, narrowFence = false }: Target): boolean {
  if (part !== "narrow-fence" || only === part) return only === undefined || only === part;
  // Nothing of the narrow fence may outlive the table that it belongs to.
  return only !== "inbox" && (direction === "down" || narrowFence);
}

function refuseUnknown(known: readonly Migration[], applied: readonly AppliedMigration[]): void {
  const names = new Set(known.map(({ name }) => name));
  const unknown = applied.filter(({ name }) => !names.has(name)).map(({ name }) => name);
  if (unknown.length === 0) return;
  throw new OutriderError(
    "SCHEMA_NEWER",
    `the database has migrations that this version does not know: ${unknown.join(", ")}`,
    { repair: "run the version of Outrider that applied them, or a newer one" },
  );
}

function refuseEdited(known: readonly Migration[], applied: readonly AppliedMigration[]): void {
  const checksums = new Map(applied.map(({ name, checksum }) => [name, checksum]));
  const edited = known.filter(({ name, checksum }) => (checksums.get(name) ?? checksum) !== checksum);
  if (edited.length === 0) return;
  throw new OutriderError(
    "MIGRATION_FAILED",
    `migrations were edited after they had been applied: ${edited.map(({ name }) => name).join(", ")}`,
    {
      repair:
        "install Outrider anew, so that its files are what was published; put changes into migrations of your own",
    },
  );
}
