/**
 * A primary and its streaming standby, of the PostgreSQL that is installed (the embedded one comes
 * without pg_basebackup). The standby follows through a proxy, so that it can be made to fall behind.
 */
import { chown } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { startPostgres } from "../../src/environment/environment.ts";
import { freePort } from "../../src/environment/free-port.ts";
import { installedBinaries, serverOwner } from "../../src/environment/postgres-binaries.ts";
import { postgresSettings, versionOf } from "../../src/environment/postgres-server.ts";
import { reaper } from "../../src/environment/reaper.ts";
import { runCommand } from "../../src/environment/run-command.ts";
import { type OwnProcess, ServerProcess } from "../../src/environment/server-process.ts";
import { startProxy, type TcpProxy } from "./proxy.ts";

export interface Pair {
  readonly primaryUrl: string;
  readonly standbyUrl: string;
  readonly primary: OwnProcess;
  /** Between the two. */
  readonly link: TcpProxy;
  /** Makes the standby a primary; resolves when it takes writes. */
  promote(): Promise<void>;
  stop(): Promise<void>;
}

/** `sync`: a commit waits until the standby has it on its disk. */
export async function startPair(mode: "sync" | "async"): Promise<Pair> {
  const binaries = await installedBinaries();
  const primary = await startPostgres({
    flavour: "installed",
    settings: { fsync: "off", wal_level: "replica" },
  });
  if (primary.process === undefined) throw new Error("an installed PostgreSQL is always a process");
  const link = await startProxy({ target: new URL(primary.url).host });
  const [owner, port, directory] = await Promise.all([
    serverOwner(),
    freePort(),
    reaper().makeDirectory("standby"),
  ]);
  if (owner !== undefined) await chown(directory, owner.uid, owner.gid);
  const files = join(directory, "cluster");
  const throughLink = new URL(primary.url);
  throughLink.host = link.address;
  const copy = [
    `--pgdata=${files}`,
    "--write-recovery-conf",
    "--checkpoint=fast",
    `--dbname=${throughLink.href}`,
  ];
  await runCommand(join(binaries, "pg_basebackup"), copy, { owner, cwd: directory });
  const url = new URL(primary.url);
  url.port = `${port}`;
  const flags = Object.entries({ ...postgresSettings, fsync: "off" }).flatMap(([k, v]) => [
    "-c",
    `${k}=${v}`,
  ]);
  const standby = new ServerProcess({
    name: "PostgreSQL (standby)",
    file: join(binaries, "postgres"),
    args: ["-D", files, "-p", `${port}`, "-h", "127.0.0.1", "-k", "", ...flags],
    owner,
    logFile: join(directory, "server.log"),
    lastSignal: "SIGQUIT",
    probe: async () => void (await versionOf(url.href)),
  });
  await standby.start();
  if (mode === "sync") {
    await execute(primary.url, "alter system set synchronous_standby_names = '*'", "select pg_reload_conf()");
  }
  return {
    primaryUrl: primary.url,
    standbyUrl: url.href,
    primary: primary.process,
    link,
    promote: () => execute(url.href, "select pg_promote()"),
    stop: async () => {
      await link.close();
      await standby.kill("SIGQUIT");
      await primary.stop();
      await reaper().removeDirectory(directory);
    },
  };
}

async function execute(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}
