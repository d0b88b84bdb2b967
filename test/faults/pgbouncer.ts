/** PgBouncer in transaction mode in front of one database, as a process that can be restarted. */
import { chown, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../../src/environment/free-port.ts";
import { serverOwner } from "../../src/environment/postgres-binaries.ts";
import { versionOf } from "../../src/environment/postgres-server.ts";
import { reaper } from "../../src/environment/reaper.ts";
import { tryCommand } from "../../src/environment/run-command.ts";
import { type OwnProcess, ServerProcess } from "../../src/environment/server-process.ts";

export interface PgBouncer {
  readonly url: string;
  readonly process: OwnProcess;
  stop(): Promise<void>;
}

/** Undefined where PgBouncer is not installed (Debian: apt-get install pgbouncer). */
export async function startPgBouncer(databaseUrl: string): Promise<PgBouncer | undefined> {
  if ((await tryCommand("pgbouncer", ["--version"])) === undefined) return undefined;
  const [owner, port, directory] = await Promise.all([
    serverOwner(),
    freePort(),
    reaper().makeDirectory("pgbouncer"),
  ]);
  const { hostname, port: target, username, password, pathname } = new URL(databaseUrl);
  const name = pathname.slice(1);
  const config = join(directory, "pgbouncer.ini");
  const lines = [
    "[databases]",
    `${name} = host=${hostname} port=${target} dbname=${name} user=${username} password=${decodeURIComponent(password)}`,
    "[pgbouncer]",
    "listen_addr = 127.0.0.1",
    `listen_port = ${port}`,
    "unix_socket_dir =",
    // Everybody who asks is the user above: this listens on 127.0.0.1 for the length of a test.
    "auth_type = any",
    "pool_mode = transaction",
    "server_reset_query = DISCARD ALL",
    "server_reset_query_always = 1",
    "default_pool_size = 10",
    "max_client_conn = 200",
    "query_wait_timeout = 5",
  ];
  await writeFile(config, `${lines.join("\n")}\n`, { mode: 0o600 });
  if (owner !== undefined) for (const path of [directory, config]) await chown(path, owner.uid, owner.gid);
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${port}`;
  const server = new ServerProcess({
    name: "PgBouncer",
    file: "pgbouncer",
    args: [config],
    owner,
    logFile: join(directory, "pgbouncer.log"),
    lastSignal: "SIGKILL",
    probe: async () => void (await versionOf(url.href)),
  });
  const stop = async () => {
    await server.kill();
    await reaper().removeDirectory(directory);
  };
  try {
    await server.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: url.href, process: server, stop };
}
