/** The live view on real parts: what it shows is what is there, and the terminal is left as it was found. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { tryCommand } from "../../src/environment/run-command.ts";
import type { Sample } from "../../src/outbox/overview.ts";
import { composeOverview } from "../../src/service/compose-doctor.ts";
import { parseSettings } from "../../src/service/config.ts";
import { until } from "../faults/until.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { defaultNeeds, RoledDatabase } from "../support/roled-database.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";

const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));
const brokers = inject("kafkaBrokers");
const events = '"to""p".undispatched_events';

let database: RoledDatabase;
let environment: Readonly<Record<string, string>>;

beforeEach(async () => {
  database = await RoledDatabase.make('to"p');
  environment = {
    DATABASE_URL: database.urlOf(await database.granted("reader")),
    OUTRIDER_SCHEMA: database.schema,
  };
});
afterEach(async () => {
  await RelayProcess.endAll();
  await database.drop();
});

const relayOn = async (topic: string, name: string) =>
  new RelayProcess({
    DATABASE_URL: database.urlOf(await database.granted("relay", defaultNeeds, name)),
    OUTRIDER_SCHEMA: database.schema,
    KAFKA_BROKERS: brokers,
    OUTRIDER_TOPIC_DEFAULT: topic,
    OUTRIDER_LEASE_RENEW_MS: "100",
    OUTRIDER_LEASE_TTL_MS: "2000",
  });

it("shows relays with their shards, what is blocked, who writes, and what was written and removed", async () => {
  const topic = uniqueTopic("top");
  await createTopics(brokers, [{ topic }]);
  const overview = composeOverview(parseSettings(environment).settings);
  const seen = (what: string, accepts: (sample: Sample) => boolean) =>
    until(what, 20_000, async () => {
      const sample = await overview.sample();
      return accepts(sample) ? sample : undefined;
    });
  expect(await overview.sample()).toMatchObject({ shardsFree: 64, relays: [], written: 0, removed: 0 });
  const relays = [await relayOn(topic, "one"), await relayOn(topic, "two")];
  await seen("fair shares", (sample) => sample.relays.filter(({ shards }) => shards === 32).length === 2);
  await database.admin.query(
    `insert into ${events} (aggregate_id, event_payload) select 'a' || n, '{}' from generate_series(1, 500) n;
     insert into ${events} (aggregate_id, event_payload, topic) values ('bad', '{}', '${uniqueTopic("absent")}')`,
  );
  const flowed = await seen("the flow", ({ removed, blocked }) => removed >= 500 && blocked.aggregates === 1);
  expect(flowed.written).toBeGreaterThanOrEqual(501);
  expect(flowed.blocked.first).toMatchObject([{ aggregateId: "bad", reason: "topic-unknown" }]);
  expect(flowed.backlog).toMatchObject({ events: 1, isMore: false });
  const app = new pg.Client({
    connectionString: database.urlOf(await database.granted("app")),
    application_name: "checkout",
  });
  await app.connect();
  await app.query(`begin; insert into ${events} (aggregate_id, event_payload) values ('late', '{}')`);
  expect((await overview.sample()).writers).toMatchObject([{ application: "checkout" }]);
  await app.end();
  await Promise.all(relays.map((relay) => relay.end("SIGKILL")));
  await seen(
    "leases that ran out",
    ({ shardsExpired, relays: left }) => shardsExpired === 64 && left.length === 0,
  );
  await overview.close();
});

describe("outrider top", () => {
  it("prints one page, or one object, and ends with 0", async () => {
    const run = (args: readonly string[]) =>
      new Promise<{ code: number; stdout: string }>((resolve) => {
        const env = { PATH: process.env.PATH, ...environment };
        const child = execFile(process.execPath, [entry, "top", "--once", ...args], { env }, (_, stdout) =>
          resolve({ code: child.exitCode ?? -1, stdout }),
        );
      });
    const page = await run([]);
    expect(page.code).toBe(0);
    expect(page.stdout).toContain("owned by 0 relay(s), 64 free");
    expect(page.stdout).not.toContain("\u001b");
    const { code, stdout } = await run(["--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ shardsFree: 64, writtenPerSecond: 0, removedPerSecond: 0 });
  });

  it("watches without a terminal until it is told to end", async () => {
    const child = spawn(process.execPath, [entry, "top", "--json", "--interval", "100ms"], {
      env: { PATH: process.env.PATH, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += String(chunk);
      if (said.split("\n").length === 4) child.kill("SIGTERM");
    });
    const [code] = (await once(child, "exit")) as [number];
    expect(code).toBe(0);
    expect(() =>
      said
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as object),
    ).not.toThrow();
  });
});

// From util-linux: runs a command on a terminal of its own.
const hasTerminal = (await tryCommand("script", ["--version"]))?.output.includes("util-linux") === true;
if (!hasTerminal)
  console.warn("outrider top on a terminal is not tried: script (util-linux) is not installed");

it.skipIf(!hasTerminal)("gives the terminal back on Ctrl-C", async () => {
  const child = spawn(
    "script",
    [
      "--quiet",
      "--return",
      "--command",
      `exec '${process.execPath}' '${entry}' top --interval 100ms`,
      "/dev/null",
    ],
    { env: { PATH: process.env.PATH, TERM: "xterm", ...environment }, stdio: ["pipe", "pipe", "pipe"] },
  );
  let shown = "";
  let isInterrupted = false;
  child.stdout.on("data", (chunk) => {
    shown += String(chunk);
    if (isInterrupted || shown.split("64 free").length < 3) return;
    isInterrupted = true;
    // What the key sends; the terminal makes it a SIGINT.
    child.stdin.write("\u0003");
  });
  const [code] = (await once(child, "exit")) as [number];
  expect(code).toBe(0);
  expect(shown).toContain("\u001b[?1049h\u001b[?25l");
  expect(shown.lastIndexOf("\u001b[?25h\u001b[?1049l")).toBeGreaterThan(shown.lastIndexOf("64 free"));
});
