import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, describe, expect, it, vi } from "vitest";
import { hasContainerEngine } from "../../src/environment/container-engine.ts";
import { type PostgresPart, startKafka, startPostgres } from "../../src/environment/environment.ts";
import { embeddedBinaries } from "../../src/environment/postgres-binaries.ts";
import { startPostgresServer } from "../../src/environment/postgres-server.ts";
import { tryCommand } from "../../src/environment/run-command.ts";

afterEach(() => vi.unstubAllEnvs());

describe("a rung that does not hold says what to do", () => {
  const missing = (repair: RegExp) =>
    expect.objectContaining({ code: "PART_MISSING", repair: expect.stringMatching(repair) as unknown });

  it("a given database that does not answer, without repeating its address", async () => {
    vi.stubEnv("DATABASE_URL", "postgres://ann:secret@127.0.0.1:1/shop");
    const failure = await startPostgres().catch((error: unknown) => error);
    expect(failure).toEqual(missing(/unset DATABASE_URL/));
    expect(String(failure)).not.toContain("secret");
  });

  it("given brokers that do not answer", async () => {
    vi.stubEnv("KAFKA_BROKERS", "127.0.0.1:1");
    await expect(startKafka()).rejects.toEqual(missing(/unset KAFKA_BROKERS/));
  });

  it("no Java", async () => {
    vi.stubEnv("PATH", "/nowhere");
    await expect(startKafka({ flavour: "own" })).rejects.toEqual(missing(/install Java/));
  });

  it("no installed PostgreSQL", async () => {
    vi.stubEnv("PATH", "/nowhere");
    await expect(startPostgres({ flavour: "installed" })).rejects.toEqual(missing(/install it/));
  });
});

describe("a container engine", () => {
  it("is there when its socket answers, and not when it does not", async () => {
    const directory = await mkdtemp(join(tmpdir(), "engine-"));
    const path = join(directory, "engine.sock");
    const env = { DOCKER_HOST: `unix://${path}` };
    const engine = createServer((socket) => socket.destroy());
    expect(await hasContainerEngine(env)).toBe(false);
    engine.listen(path);
    await once(engine, "listening");
    expect(await hasContainerEngine(env)).toBe(true);
    vi.stubEnv("DATABASE_URL", "");
    vi.stubEnv("DOCKER_HOST", env.DOCKER_HOST);
    await expect(startPostgres()).rejects.toMatchObject({
      code: "PART_MISSING",
      message: expect.stringMatching(/^postgres:18 does not start in a container/) as unknown,
      repair: expect.stringMatching(/DOCKER_HOST=none/) as unknown,
    });
    engine.close();
    await rm(directory, { recursive: true });
  });
});

describe("a PostgreSQL of our own", () => {
  it("runs from a directory that its user may not enter, as a root's home is", async () => {
    const home = await mkdtemp(join(tmpdir(), "closed-"));
    await cp(dirname(await embeddedBinaries()), home, { recursive: true, verbatimSymlinks: true });
    const server = await startPostgresServer(join(home, "bin"), {});
    await server.stop();
    await rm(home, { recursive: true });
    expect(server.version).toMatch(/^18/);
  });

  it("survives being killed and started again, with what was committed", async () => {
    const part = await startPostgres({ flavour: "embedded", settings: { work_mem: "7MB" } });
    try {
      const show = async (sql: string) => (await query(part, sql))[0];
      expect(await show("show work_mem")).toEqual({ work_mem: "7MB" });
      await query(part, "create table kept as select 1 as id");
      const before = part.process?.pid;
      await part.process?.restart();
      expect(part.process?.pid).not.toBe(before);
      expect(await show("select id from kept")).toEqual({ id: 1 });
    } finally {
      await Promise.all([part.stop(), part.stop()]);
    }
    expect(part.process?.pid).toBeUndefined();
  });

  it("can be the one installed here, which is another version", async ({ skip }) => {
    const installed = await tryCommand("pg_config", ["--version"]);
    if (installed === undefined) return skip("no PostgreSQL is installed on this machine");
    const part = await startPostgres({ flavour: "installed" });
    await part.stop();
    expect(installed.output).toContain(part.version);
  });
});

describe("what was started ends with the process that started it", () => {
  it.each([
    ["returns", "process.exitCode = 0"],
    ["exits", "process.exit(3)"],
    ["is killed with SIGTERM", "process.kill(process.pid, 'SIGTERM'); await new Promise(() => undefined)"],
    ["is killed with SIGKILL", "process.kill(process.pid, 'SIGKILL')"],
  ])("when that %s", async (_, ending) => {
    const child = runProgram(`
      const part = await startPostgres({ flavour: "embedded" });
      const { rows } = await new (await import("pg")).default.Pool({ connectionString: part.url, allowExitOnIdle: true })
        .query("show data_directory");
      console.log(JSON.stringify({ pid: part.process.pid, files: rows[0].data_directory }));
      ${ending};
    `);
    const ended = once(child, "exit");
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const { pid, files } = JSON.parse(line) as { pid: number; files: string };
    await ended;
    await expect.poll(() => isRunning(pid), { timeout: 15_000 }).toBe(false);
    await expect.poll(() => existsSync(files), { timeout: 15_000 }).toBe(false);
  });
});

async function query(part: PostgresPart, sql: string): Promise<unknown[]> {
  const { default: pg } = await import("pg");
  const client = new pg.Client({ connectionString: part.url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

function runProgram(body: string): ChildProcess & { stdout: NodeJS.ReadableStream } {
  const door = new URL("../../src/environment/environment.ts", import.meta.url).href;
  const program = `import { startPostgres } from ${JSON.stringify(door)};\n${body}`;
  const args = ["--import", "tsx", "--input-type=module", "--eval", program];
  return spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    // ESRCH: nobody has this number any more.
    return false;
  }
}
