/** A PostgreSQL server of our own: a new cluster in a directory of its own, on 127.0.0.1 only. */
import { randomBytes } from "node:crypto";
import { chown, cp, mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import pg from "pg";
import { freePort } from "./free-port.ts";
import { serverOwner } from "./postgres-binaries.ts";
import { reaper } from "./reaper.ts";
import { runCommand, tryCommand } from "./run-command.ts";
import { type OwnProcess, ServerProcess, type UnixOwner } from "./server-process.ts";

export interface PostgresServer {
  readonly url: string;
  readonly version: string;
  readonly process: OwnProcess;
  stop(): Promise<void>;
}

/** Enough for several relays and the writers of a test; prepared transactions are off by default. */
export const postgresSettings: Readonly<Record<string, string>> = {
  max_connections: "200",
  max_prepared_transactions: "32",
};

/** As arguments of `postgres`; the caller's settings win. */
export function settingFlags(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries({ ...postgresSettings, ...settings }).flatMap(([name, value]) => [
    "-c",
    `${name}=${value}`,
  ]);
}

export async function startPostgresServer(
  binaries: string,
  settings: Readonly<Record<string, string>>,
): Promise<PostgresServer> {
  const [owner, port, directory] = await Promise.all([
    serverOwner(),
    freePort(),
    reaper().makeDirectory("postgres"),
  ]);
  const password = randomBytes(12).toString("hex");
  const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
  const files = join(directory, "cluster");
  let server: ServerProcess | undefined;
  const stop = async () => {
    await server?.kill("SIGINT");
    await reaper().removeDirectory(directory);
  };
  try {
    const programs = await withinReach(binaries, directory, owner);
    await initialise(programs, directory, files, password, owner);
    server = new ServerProcess({
      name: "PostgreSQL",
      file: join(programs, "postgres"),
      args: ["-D", files, "-p", `${port}`, "-h", "127.0.0.1", "-k", "", ...settingFlags(settings)],
      owner,
      logFile: join(directory, "server.log"),
      // An immediate shutdown: unlike SIGKILL it takes the backends and the shared memory along.
      lastSignal: "SIGQUIT",
      probe: async () => void (await versionOf(url)),
    });
    await server.start();
    return { url, version: await versionOf(url), process: server, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * The directory of programs that the server's user can run. A root's checkout often lies in a home
 * that nobody else may enter; then the programs are copied (60 MB) to where their user gets through.
 */
async function withinReach(
  binaries: string,
  directory: string,
  owner: UnixOwner | undefined,
): Promise<string> {
  if (owner === undefined) return binaries;
  const answer = await tryCommand(join(binaries, "postgres"), ["--version"], { owner, cwd: "/" });
  if (answer?.status === 0) return binaries;
  await chown(directory, owner.uid, owner.gid);
  const copy = join(directory, "programs");
  await cp(dirname(binaries), copy, { recursive: true, verbatimSymlinks: true });
  await runCommand("chown", ["-R", `${owner.uid}:${owner.gid}`, copy]);
  return join(copy, basename(binaries));
}

async function initialise(
  binaries: string,
  directory: string,
  files: string,
  password: string,
  owner: UnixOwner | undefined,
): Promise<void> {
  const passwordFile = join(directory, "password");
  await mkdir(files, { mode: 0o700 });
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (owner !== undefined) {
    for (const path of [directory, files, passwordFile]) await chown(path, owner.uid, owner.gid);
  }
  await runCommand(
    join(binaries, "initdb"),
    [
      `--pgdata=${files}`,
      "--username=postgres",
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale=C",
      "--no-sync",
    ],
    { owner, cwd: directory },
  );
}

/** The server's version ("18.4"); rejects while it cannot be reached. */
export async function versionOf(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  // A connection that is cut while it waits also rejects the query; without a listener it would throw.
  client.on("error", () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version: string }>("show server_version");
    return (rows[0]?.server_version ?? "").split(" ")[0] ?? "";
  } finally {
    await client.end();
  }
}
