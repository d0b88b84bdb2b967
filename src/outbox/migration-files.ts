/** The shipped migrations: plain SQL, one pair of files each, applied in the order of their names. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";

export interface Migration {
  /** Four digits and words, like `0001_undispatched_events`; the digits are the order. */
  readonly name: string;
  readonly up: string;
  readonly down: string;
  /** SHA-256 of `up`, in hex: tells a file that was edited after it had been applied. */
  readonly checksum: string;
}

/** The same from the sources and from the built package. */
const folder = new URL("../../migrations/", import.meta.url);
const upSuffix = ".up.sql";

/** Every migration that this version ships, oldest first. */
export function knownMigrations(): readonly Migration[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(upSuffix))
    .sort()
    .map((file) => readMigration(file.slice(0, -upSuffix.length)));
}

function readMigration(name: string): Migration {
  const up = readSql(`${name}${upSuffix}`);
  return {
    name,
    up,
    down: readSql(`${name}.down.sql`),
    checksum: createHash("sha256").update(up).digest("hex"),
  };
}

/** A checkout may have turned the ends of lines; the checksum must not notice. */
function readSql(file: string): string {
  return readFileSync(new URL(file, folder), "utf8").replaceAll("\r\n", "\n");
}
