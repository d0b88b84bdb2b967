/** The demo as its users run it: a process of its own, on the servers it is given. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { Kafka, logLevel } from "kafkajs";
import pg from "pg";
import { describe, expect, inject, it } from "vitest";
import { freshDatabase } from "../support/database.ts";

const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));
const timeout = 120_000;

function startDemo(url: string, flags: readonly string[]): ChildProcess {
  return spawn(process.execPath, [entry, "demo", ...flags], {
    env: { PATH: process.env.PATH, DATABASE_URL: url, KAFKA_BROKERS: inject("kafkaBrokers") },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function runDemo(url: string, ...flags: readonly string[]) {
  const { stdout, stderr, ...child } = pipesOf(startDemo(url, flags));
  const [out, err, [code]] = await Promise.all([text(stdout), text(stderr), child.closed]);
  return { out, err, code };
}

function pipesOf(child: ChildProcess) {
  if (child.stdout === null || child.stderr === null) throw new Error("the pipes were asked for");
  return { child, stdout: child.stdout, stderr: child.stderr, closed: once(child, "close") };
}

async function rowsOf(url: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}

const leftDatabases = "select datname from pg_database where datname like 'outrider_demo_%'";

async function leftTopics(): Promise<string[]> {
  const kafka = new Kafka({ brokers: inject("kafkaBrokers").split(","), logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  try {
    return (await admin.listTopics()).filter((topic) => topic.startsWith("outrider-demo-"));
  } finally {
    await admin.disconnect();
  }
}

describe("the demo", () => {
  it.each(["kafka", "stdout"])(
    "keeps every promise on the way to %s, and leaves nothing behind",
    { timeout },
    async (to) => {
      const url = inject("postgresUrl");
      const { out, err, code } = await runDemo(url, "--events", "2000", "--to", to, "--json");
      const outcome = JSON.parse(out.trimEnd().split("\n").at(-1) ?? "") as Record<string, unknown>;
      expect(outcome, err).toMatchObject({
        to,
        committed: 2_000,
        published: 2_000,
        missing: 0,
        phantom: 0,
        inversions: 0,
        corrupted: 0,
        misaddressed: 0,
        split: 0,
        left: 0,
        isStopClean: true,
        seed: expect.any(Number),
        elapsedMs: expect.any(Number),
        eventsPerSecond: expect.any(Number),
        latencyMs: { p50: expect.any(Number), p99: expect.any(Number), max: expect.any(Number) },
      });
      expect(outcome.rolledBack).toBeGreaterThan(0);
      expect(err).toContain("All 8 promises held.");
      expect(out.trimEnd().split("\n")).toHaveLength(1);
      expect(code).toBe(0);
      expect(await rowsOf(url, leftDatabases)).toEqual([]);
      expect(await leftTopics()).toEqual([]);
    },
  );

  it("finds the work shared by two relays on one outbox: in order, and nothing done twice", {
    timeout,
  }, async () => {
    const url = inject("postgresUrl");
    const { out, err, code } = await runDemo(url, "--events", "3000", "--relays", "2", "--json");
    expect(JSON.parse(out), err).toMatchObject({
      published: 3_000,
      missing: 0,
      phantom: 0,
      inversions: 0,
      duplicates: 0,
      left: 0,
    });
    expect(code).toBe(0);
  });

  it("takes a schema of its own where it may not create a database", { timeout }, async () => {
    const database = await freshDatabase();
    const role = `demo_${Date.now()}`;
    try {
      await rowsOf(database.url, `create role ${role} login password 'x'`);
      await rowsOf(
        database.url,
        `grant create on database "${new URL(database.url).pathname.slice(1)}" to ${role}`,
      );
      const url = new URL(database.url);
      url.username = role;
      url.password = "x";
      const { out, err, code } = await runDemo(url.href, "--events", "300", "--to", "stdout", "--json");
      expect(JSON.parse(out), err).toMatchObject({ committed: 300, missing: 0 });
      expect(code).toBe(0);
      const schemas = "select nspname from pg_namespace where nspname like 'outrider_demo_%'";
      expect(await rowsOf(database.url, schemas)).toEqual([]);
    } finally {
      await database.drop();
      await rowsOf(inject("postgresUrl"), `drop role if exists ${role}`);
    }
  });

  it("removes everything when it is interrupted", { timeout }, async () => {
    const url = inject("postgresUrl");
    const { child, stdout, stderr, closed } = pipesOf(startDemo(url, ["--events", "1000000"]));
    const errors = text(stderr);
    const lines = createInterface({ input: stdout });
    for await (const line of lines) if (line.includes("committed")) break;
    child.kill("SIGINT");
    stdout.resume();
    const [code] = await closed;
    expect(code).toBe(130);
    expect(await errors).toBe("");
    expect(await rowsOf(url, leftDatabases)).toEqual([]);
    expect(await leftTopics()).toEqual([]);
  });

  it.each([
    ["--events", "0"],
    ["--writers", "many"],
    ["--to", "nowhere"],
    ["--relays", "2", "--to", "stdout"],
  ])("refuses %s %s as wrong usage", async (flag, ...values) => {
    const { err, code } = await runDemo(inject("postgresUrl"), flag, ...values);
    expect(code).toBe(2);
    expect(err).toContain(flag);
  });
});
