/** The demo as its users run it: a process of its own, on the servers it is given. */
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { describe, expect, inject, it } from "vitest";
import { freshDatabase } from "../support/database.ts";
import { leftBehind, pipesOf, rowsOf, runTrial, startTrial } from "../support/trial.ts";

const timeout = 120_000;

const runDemo = (url: string, ...flags: readonly string[]) => runTrial("demo", url, ...flags);

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
      expect(await leftBehind("demo", url)).toEqual([]);
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
    const { child, stdout, stderr, closed } = pipesOf(startTrial("demo", url, ["--events", "1000000"]));
    const errors = text(stderr);
    const lines = createInterface({ input: stdout });
    for await (const line of lines) if (line.includes("committed")) break;
    child.kill("SIGINT");
    stdout.resume();
    const [code] = await closed;
    expect(code).toBe(130);
    expect(await errors).toBe("");
    expect(await leftBehind("demo", url)).toEqual([]);
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
