/** What the broker will not have, from end to end: the relay and the commands as processes, PostgreSQL and Kafka real. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

const brokers = inject("kafkaBrokers");
const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe("dead letters, as a user meets them", () => {
  let database: MigratedDatabase;
  let client: pg.Client;

  beforeEach(async () => {
    database = await migratedDatabase();
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
  });
  afterEach(async () => {
    await RelayProcess.endAll();
    await client.end();
    await database.drop();
  });

  const outrider = (args: readonly string[], url = database.url): Promise<Ended> =>
    new Promise((resolve) => {
      const env = { PATH: process.env.PATH, DATABASE_URL: url };
      const child = execFile(process.execPath, [entry, ...args], { env }, (_, stdout, stderr) =>
        resolve({ code: child.exitCode ?? -1, stdout, stderr }),
      );
    });
  const json = async <T>(...args: readonly string[]): Promise<T> =>
    JSON.parse((await outrider([...args, "--json"])).stdout) as T;
  const relay = (more: Record<string, string> = {}) =>
    new RelayProcess({
      DATABASE_URL: database.url,
      KAFKA_BROKERS: brokers,
      OUTRIDER_BLOCK_RETRY_MIN_MS: "20",
      OUTRIDER_BLOCK_RETRY_MAX_MS: "50",
      OUTRIDER_LEASE_TTL_MS: "1000",
      OUTRIDER_LEASE_RENEW_MS: "200",
      OUTRIDER_ATTEMPTS_MAX: "3",
      ...more,
    });
  const insert = async (topic: string, aggregateId: string, payload: string): Promise<string> => {
    const { rows } = await client.query<{ event_id: string }>(
      "insert into undispatched_events (aggregate_id, event_payload, topic) values ($1, $2, $3) returning event_id",
      [aggregateId, payload, topic],
    );
    return rows[0]?.event_id ?? "";
  };
  const emptied = async () => {
    while ((await client.query("select 1 from undispatched_events limit 1")).rows.length > 0);
  };

  it("gives up, goes on, shows, and puts a whole aggregate back in its order", async () => {
    const [topic, missing] = [uniqueTopic("letters"), uniqueTopic("letters-missing")];
    await createTopics(brokers, [{ topic, partitions: 2 }]);
    const ids = [await insert(missing, "a", '{"secret":1}'), await insert(missing, "a", '{"secret":2}')];
    const healthy = await insert(topic, "a", '{"n":3}');
    const running = relay({ OUTRIDER_REJECTED: "dead-letter" });
    const said = await running.heard("event-dead-lettered", ({ eventId }) => eventId === ids[1]);
    expect(said).toMatchObject({ level: "error", reason: "topic-unknown", attempts: 3, aggregateId: "a" });
    await emptied();
    expect((await readTopic(brokers, topic)).map(({ headers }) => String(headers.event_id))).toEqual([
      healthy,
    ]);

    const listed = await outrider(["dead-letters", "list"]);
    expect(listed.stdout).toContain(ids[0]);
    expect(listed.stdout + running.lines.map((line) => JSON.stringify(line)).join()).not.toContain("secret");
    const { letters } = await json<{ letters: { eventId: string }[] }>(
      "dead-letters",
      "list",
      "--topic",
      missing,
    );
    expect(letters.map(({ eventId }) => eventId)).toEqual(ids);
    const shown = await json<object>("dead-letters", "show", "--id", ids[0] ?? "");
    expect(shown).toMatchObject({
      payload: '{"secret":1}',
      payloadEncoding: "utf-8",
      reason: "topic-unknown",
    });

    await createTopics(brokers, [{ topic: missing, partitions: 1 }]);
    expect(await json("dead-letters", "redrive", "--aggregate", "a")).toEqual({ moved: 2, left: 0 });
    await emptied();
    expect((await running.end()).code).toBe(0);
    const back = await readTopic(brokers, missing);
    expect(back.map(({ headers }) => String(headers.event_id))).toEqual(ids);
    expect(back.map(({ value }) => String(value))).toEqual(['{"secret":1}', '{"secret":2}']);
  });

  it("goes on counting over kill -9 and the takeover by another relay", async () => {
    const missing = uniqueTopic("letters-counted");
    const id = await insert(missing, "a", "{}");
    const patient = { OUTRIDER_BLOCK_RETRY_MIN_MS: "60000", OUTRIDER_BLOCK_RETRY_MAX_MS: "60000" };
    const give = { OUTRIDER_REJECTED: "dead-letter", ...patient };
    for (const attempts of [1, 2]) {
      const running = relay(give);
      await running.heard("aggregate-blocked", (line) => line.attempts === attempts);
      let written = 0;
      while (written < attempts) {
        const { rows } = await client.query<{ attempts: number }>(
          "select attempts from outrider_blocked_aggregates",
        );
        written = rows[0]?.attempts ?? 0;
      }
      await running.end("SIGKILL");
    }
    const last = relay(give);
    expect(await last.heard("event-dead-lettered")).toMatchObject({ eventId: id, attempts: 3 });
    await last.end();
  });

  it("keeps everything under the default policy, and `blocked` says what waits and why", async () => {
    const missing = uniqueTopic("letters-blocked");
    const id = await insert(missing, "a", '{"secret":1}');
    await insert(missing, "a", '{"secret":2}');
    expect((await outrider(["blocked"])).stdout).toBe("nothing is blocked\n");
    const running = relay();
    await running.heard("aggregate-blocked", ({ attempts }) => attempts === 5);
    await running.end();
    const { aggregates } = await json<{ aggregates: { eventId: string; attempts: number }[] }>("blocked");
    expect(aggregates).toMatchObject([
      { aggregateId: "a", eventId: id, reason: "topic-unknown", waiting: 2 },
    ]);
    expect(aggregates[0]?.attempts).toBeGreaterThanOrEqual(5);
    const { stdout } = await outrider(["blocked"]);
    expect(stdout).toContain("2 event(s) wait");
    expect(stdout).not.toContain("secret");
    expect((await outrider(["dead-letters", "list"])).stdout).toBe("no dead letters\n");
  });

  it("deletes nothing without --yes, and says what is wrong with a command", async () => {
    await client.query(
      `insert into outrider_dead_letters (event_id, aggregate_id, created_at, event_payload, seq, reason, message, attempts)
       select gen_random_uuid(), 'a-' || n, now(), '{}', n, 'topic-unknown', 'm', 3 from generate_series(1, 1200) n`,
    );
    const count = async () =>
      (await client.query<{ n: number }>("select count(*)::int as n from outrider_dead_letters")).rows[0]?.n;
    const refused = await outrider(["dead-letters", "discard", "--all"]);
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toContain("--yes");
    for (const args of [
      ["redrive"],
      ["redrive", "--all", "--aggregate", "a"],
      ["show", "--id", "7"],
      ["list", "--since", "yesterday"],
    ])
      expect((await outrider(["dead-letters", ...args])).code).toBe(2);
    expect(await count()).toBe(1200);
    const unknown = "00000000-0000-4000-8000-000000000000";
    for (const args of [["show"], ["redrive"], ["discard", "--yes"]]) {
      const ended = await outrider(["dead-letters", ...args, "--id", unknown]);
      expect(ended).toMatchObject({ code: 1 });
      expect(ended.stderr).toContain(unknown);
    }
    expect((await outrider(["dead-letters", "discard", "--yes", "--aggregate", "a-7"])).stdout).toMatch(
      /^1 /,
    );
    expect(
      (await outrider(["dead-letters", "redrive", "--all", "--reason", "topic-unknown"])).stdout,
    ).toMatch(/^1199 /);
    expect(await count()).toBe(0);
  });

  it("names the right that a role lacks, and the relay refuses to start without it", async () => {
    const role = `poor_${Date.now()}`;
    await client.query(
      `create role ${role} login password 'secret-word'; grant select, delete on undispatched_events to ${role};
       grant all on outrider_shard_leases, outrider_members to ${role}`,
    );
    const poor = new URL(database.url);
    [poor.username, poor.password] = [role, "secret-word"];
    const listed = await outrider(["dead-letters", "list"], poor.href);
    expect(listed).toMatchObject({ code: 1 });
    expect(listed.stderr).toContain("grant select, insert, update, delete on");
    const refused = relay({ DATABASE_URL: poor.href });
    expect((await refused.exited).code).toBe(78);
    expect(refused.stderr).toContain("outrider_dead_letters");
    await client.query(
      `grant select, insert, update, delete on outrider_blocked_aggregates to ${role}; grant select, insert, update on outrider_dead_letters to ${role}`,
    );
    const missing = uniqueTopic("letters-poor");
    await insert(missing, "a", "{}");
    const running = relay({ DATABASE_URL: poor.href, OUTRIDER_REJECTED: "dead-letter" });
    await running.heard("event-dead-lettered");
    await running.end();
    await client.query(`drop owned by ${role}; drop role ${role}`);
  });
});
