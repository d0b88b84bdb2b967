/**
 * PgBouncer in transaction mode in front of a PostgreSQL, with one server connection: so whatever one
 * client leaves in its session, every other client finds.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { freePort } from "../../src/environment/free-port.ts";
import { tryCommand } from "../../src/environment/run-command.ts";
import { ServerProcess } from "../../src/environment/server-process.ts";

export interface Pgbouncer {
  /** The same database and role as behind it. */
  readonly url: string;
  stop(): Promise<void>;
}

/** What PgBouncer may run as instead of root, which it refuses; every Unix has this one. */
const nobody = { uid: 65534, gid: 65534 } as const;

const isRoot = process.getuid?.() === 0;

/** Where PgBouncer is, installing it where that needs no question; else a sentence on what is missing. */
export async function findPgbouncer(): Promise<{ file: string } | { missing: string }> {
  const found = await runnable();
  if (found !== undefined) return { file: found };
  if (isRoot) {
    const install = ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=60", "pgbouncer"];
    if ((await tryCommand("apt-get", install))?.status !== 0) {
      await tryCommand("apt-get", ["update"]);
      await tryCommand("apt-get", install);
    }
    const installed = await runnable();
    if (installed !== undefined) return { file: installed };
  }
  return { missing: "PgBouncer is not installed (on Debian: apt-get install pgbouncer)" };
}

/** Distributions keep it in a folder that only root has on its path. */
async function runnable(): Promise<string | undefined> {
  for (const file of ["pgbouncer", "/usr/sbin/pgbouncer"]) {
    if ((await tryCommand(file, ["--version"]))?.status === 0) return file;
  }
  return undefined;
}

/** `swallowed`: start-up parameters that it lets pass and does nothing with. It refuses any other. */
export async function startPgbouncer(
  file: string,
  targetUrl: string,
  swallowed: readonly string[] = [],
): Promise<Pgbouncer> {
  const target = new URL(targetUrl);
  const database = target.pathname.slice(1);
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "outrider-pgbouncer-"));
  const settingsFile = join(folder, "pgbouncer.ini");
  await writeFile(
    settingsFile,
    `[databases]
${database} = host=${target.hostname} port=${target.port || 5432} dbname=${database} user=${target.username} password=${decodeURIComponent(target.password)}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
ignore_startup_parameters = ${swallowed.join(", ")}
`,
  );
  const url = new URL(targetUrl);
  url.hostname = "127.0.0.1";
  url.port = String(port);
  // Readable for whom it runs as; the password in it is that of a test's own role.
  if (isRoot) await tryCommand("chown", ["-R", String(nobody.uid), folder]);
  const server = new ServerProcess({
    name: "PgBouncer",
    file,
    args: [settingsFile],
    owner: isRoot ? nobody : undefined,
    logFile: join(folder, "pgbouncer.log"),
    lastSignal: "SIGKILL",
    probe: () => connectOnce(url.href),
  });
  await server.start();
  return {
    url: url.href,
    stop: async () => {
      await server.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function connectOnce(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.end();
}
