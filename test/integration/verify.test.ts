/**
 * The audit on real parts: a healthy system under load is found healthy, each planted fault is found, and
 * nothing but reading is asked of PostgreSQL and Kafka.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { Kafka, logLevel, type Message } from "kafkajs";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { type AuditChoices, type AuditFindings, runAudit } from "../../src/audit/audit.ts";
import { judgeAudit } from "../../src/audit/verdict.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { PostgresWitness } from "../../src/outbox/postgres-witness.ts";
import { KafkaTopicReader } from "../../src/publisher/kafka-topic-reader.ts";
import { kafkaOptionsOf, parseSettings } from "../../src/service/config.ts";
import { RemovalGate } from "../support/gate.ts";
import { databaseConfig, type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";
import { writeConcurrently } from "../support/writers.ts";

const brokers = inject("kafkaBrokers");
const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));

interface Shown {
  readonly isClean: boolean;
  readonly code: string | null;
  readonly findings: readonly { readonly kind: string; readonly count: number; readonly level: string }[];
  readonly rows: { readonly judged: number; readonly published: number; readonly missing: number };
  readonly topics: readonly {
    readonly topic: string;
    readonly records: number;
    readonly duplicates: number;
  }[];
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const kinds = ({ findings }: { readonly findings: readonly { readonly kind: string }[] }) =>
  findings.map(({ kind }) => kind);

/** A record as the relay would write it; `n` orders it. */
function message(aggregateId: string, n: number, more: Partial<Message> = {}): Message {
  return {
    key: aggregateId,
    value: "{}",
    partition: 0,
    headers: {
      event_id: randomUUID(),
      created_at: `2026-01-01T00:00:00.${String(n).padStart(6, "0")}+00:00`,
    },
    ...more,
  };
}

describe("outrider verify", () => {
  let database: MigratedDatabase;
  let client: pg.Client;
  let topic: string;
  const kafka = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING });
  const producer = kafka.producer();

  beforeEach(async () => {
    database = await migratedDatabase();
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
    topic = uniqueTopic("verify");
    await createTopics(brokers, [{ topic, partitions: 2 }]);
    await producer.connect();
  });
  afterEach(async () => {
    await RelayProcess.endAll();
    await producer.disconnect();
    await client.end();
    await database.drop();
  });

  const outrider = (args: readonly string[], url = database.url): Promise<Ended> =>
    new Promise((resolve) => {
      const env = { PATH: process.env.PATH, DATABASE_URL: url, KAFKA_BROKERS: brokers };
      const child = execFile(process.execPath, [entry, "verify", ...args], { env }, (_, stdout, stderr) =>
        resolve({ code: child.exitCode ?? -1, stdout, stderr }),
      );
    });
  const verify = async (...args: readonly string[]): Promise<Shown & { readonly exit: number }> => {
    const { code, stdout, stderr } = await outrider([
      "--topic",
      topic,
      "--duration",
      "200ms",
      ...args,
      "--json",
    ]);
    if (stdout === "") throw new Error(stderr);
    return { ...(JSON.parse(stdout) as Shown), exit: code };
  };
  const plant = (messages: readonly Message[]) => producer.send({ topic, messages: [...messages] });
  const insert = async (
    aggregateId: string,
    age = "0 s",
  ): Promise<{ eventId: string; createdAt: string }> => {
    const { rows } = await client.query<{ event_id: string; created_at: string }>(
      `insert into undispatched_events (aggregate_id, event_payload, topic, created_at)
       values ($1, '{}', $2, clock_timestamp() - $3::interval) returning event_id, to_json(created_at)#>>'{}' as created_at`,
      [aggregateId, topic, age],
    );
    return { eventId: rows[0]?.event_id ?? "", createdAt: rows[0]?.created_at ?? "" };
  };

  /** In this process; `onLook` is called between the first look and the second. */
  async function audit(more: Partial<AuditChoices>, onLook: () => Promise<void>): Promise<AuditFindings> {
    const witness = new PostgresWitness(databaseConfig(database.url));
    const { settings } = parseSettings({ KAFKA_BROKERS: brokers });
    const reader = new KafkaTopicReader(kafkaOptionsOf(settings));
    let acted: Promise<void> | undefined;
    // The manual hand in the clock: the audit's own pause ends when what is planted is in place.
    const clock = {
      ...systemClock,
      sleep: async (ms: number, signal?: AbortSignal) => {
        acted ??= onLook();
        await acted;
        return systemClock.sleep(ms, signal);
      },
    };
    const routing = { topicTemplate: topic, topicDefault: topic };
    try {
      return await runAudit(
        { witness, reader, routing, clock, onProgress: () => undefined },
        {
          topics: [topic],
          durationMs: 50,
          sinceMs: null,
          messagesMax: 1_000,
          eventsMax: 1_000,
          ageMaxMs: 60_000,
          isolation: "read_committed",
          waitMsMax: 300,
          ...more,
        },
      );
    } finally {
      await Promise.all([witness.close(), reader.close()]);
    }
  }
  const judged = (found: AuditFindings) =>
    judgeAudit(found, { duplicatesMax: null, isForeignAllowed: false });

  it("finds a healthy system healthy, under load, with its topics derived from rows and settings", {
    timeout: 60_000,
  }, async () => {
    const seed = Math.floor(Math.random() * 1e6);
    const relay = new RelayProcess({
      DATABASE_URL: database.url,
      KAFKA_BROKERS: brokers,
      OUTRIDER_TOPIC_DEFAULT: topic,
    });
    await relay.heard("relay-started");
    const load = { url: database.url, writers: 8, events: 3_000, aggregates: 30, holdMsMax: 20, seed };
    const writing = writeConcurrently(load);
    const args = ["--topic-default", topic, "--topic-template", `${topic}.\${aggregate_type}`];
    const ended = await outrider([...args, "--duration", "2s", "--duplicates-max", "0", "--json"]);
    await writing;
    const shown = JSON.parse(ended.stdout) as Shown;
    console.log(`seed ${seed}: ${shown.rows.judged} rows followed, ${shown.topics[0]?.records} records read`);
    expect(shown).toMatchObject({ isClean: true, code: null, rows: { missing: 0 } });
    expect(shown.findings.filter(({ level }) => level !== "note")).toEqual([]);
    expect(shown.rows.published).toBeGreaterThan(0);
    expect(shown.topics).toMatchObject([{ topic, duplicates: 0 }]);
    expect(ended.code).toBe(0);
  });

  it("finds a row that was deleted by hand and never published, and no other", async () => {
    const lost = await insert("a");
    const published = await insert("b");
    const kept = await insert("c");
    const found = await audit({}, async () => {
      await plant([
        message("b", 0, { headers: { event_id: published.eventId, created_at: published.createdAt } }),
      ]);
      await client.query("delete from undispatched_events where event_id <> $1", [kept.eventId]);
    });
    expect(found.custody).toMatchObject({ judged: 3, missing: 1, published: 1, waiting: 1, unproven: 0 });
    expect(found.custody.examples.missing).toEqual([{ eventId: lost.eventId, aggregateId: "a", topic }]);
    expect(judged(found).code).toBe("PROMISE_BROKEN");
  });

  it("calls nothing missing where it could not read far enough", async () => {
    const row = await insert("a");
    const found = await audit({ messagesMax: 2 }, async () => {
      const headers = { event_id: row.eventId, created_at: row.createdAt };
      const timestamp = String(Date.parse(row.createdAt));
      await plant([
        message("a", 0, { headers, timestamp }),
        ...[1, 2, 3].map((n) => message("b", n, { timestamp })),
      ]);
      await client.query("delete from undispatched_events");
    });
    expect(found.custody).toMatchObject({ missing: 0, unproven: 1 });
    expect(judged(found).code).toBe("AUDIT_INCONCLUSIVE");
  });

  it("finds dead letters where they are", async () => {
    await insert("a");
    const found = await audit({}, async () => {
      await client.query(`with gone as (delete from undispatched_events returning *)
        insert into outrider_dead_letters (event_id, aggregate_id, created_at, event_payload, seq, reason, message, attempts)
        select event_id, aggregate_id, created_at, event_payload, seq, 'broker-refused', 'planted', 1 from gone`);
    });
    expect(found.custody).toMatchObject({ dead: 1, missing: 0 });
    expect(judged(found)).toMatchObject({ isClean: true });
    expect(found.standing.deadLetters).toBe(1);
  });

  it("finds what is published and never removed: a relay that hangs before its delete", async () => {
    const gate = await RemovalGate.install(database.url);
    await gate.shut();
    const { eventId } = await insert("a");
    const relay = new RelayProcess({ DATABASE_URL: database.url, KAFKA_BROKERS: brokers });
    await gate.caught();
    const shown = await verify();
    expect(shown).toMatchObject({ exit: 1, code: "OUTBOX_STALE", rows: { missing: 0 } });
    expect(shown.findings[0]).toMatchObject({ kind: "lingering", count: 1, examples: [{ eventId }] });
    await gate.open();
    await relay.heard("relay-started");
    await gate.uninstall();
  });

  it("finds two records exchanged, a duplicate, an aggregate in two partitions, and a record without event_id", async () => {
    const [one, two, three] = [1, 2, 3].map((n) => message("a", n)) as [Message, Message, Message];
    await plant([one, two]);
    expect(await verify()).toMatchObject({ exit: 0, isClean: true, topics: [{ records: 2 }] });
    await plant([two]);
    const doubled = await verify();
    expect(doubled).toMatchObject({
      exit: 0,
      isClean: true,
      topics: [{ worst: [{ aggregateId: "a", duplicates: 1 }] }],
    });
    expect(kinds(doubled)).toContain("duplicates");
    expect(await verify("--duplicates-max", "0")).toMatchObject({ exit: 1, code: "PROMISE_BROKEN" });
    await plant([message("b", 2, { headers: {} })]);
    expect(await verify()).toMatchObject({ exit: 1, code: "TOPIC_FOREIGN" });
    expect(await verify("--foreign")).toMatchObject({ exit: 0, code: null });
    await plant([message("a", 9), three]);
    const exchanged = await verify("--foreign");
    expect(exchanged).toMatchObject({ exit: 1, code: "PROMISE_BROKEN" });
    expect(kinds(exchanged)[0]).toBe("out-of-order");
    await plant([message("a", 10, { partition: 1 })]);
    expect(kinds(await verify("--foreign"))).toContain("split");
    const text = await outrider(["--topic", topic, "--duration", "200ms", "--hash-ids"]);
    expect(text.code).toBe(1);
    expect(text.stdout).toMatch(/fault {2}out-of-order: 1 /);
    expect(text.stdout).not.toContain("\u001b");
    expect(text.stderr).toBe("");
  });

  it("looks further back before it calls an exchange undecided", async () => {
    const [one, two] = [message("a", 1), message("a", 2)];
    await plant([one, two, ...[3, 4, 5, 6].map((n) => message("b", n)), two, one]);
    // The last two alone cannot be told from a replay; with two more of the same size before them they can.
    expect(kinds(await verify("--messages-max", "2"))).toContain("undecided");
    expect(await verify("--messages-max", "6")).toMatchObject({
      topics: [{ duplicates: 2, inversions: 0, undecided: 0 }],
    });
  });

  it("finds a row that waits for too long", async () => {
    await insert("a", "10 min");
    const shown = await verify("--age-max", "5m");
    expect(shown).toMatchObject({ exit: 1, code: "OUTBOX_STALE" });
    expect(await verify("--age-max", "20m")).toMatchObject({ exit: 0 });
  });

  it("reads what a read_committed consumer sees, and says when an open transaction hides the end", async () => {
    const transactional = kafka.producer({
      transactionalId: topic,
      maxInFlightRequests: 1,
      idempotent: true,
    });
    await transactional.connect();
    const aborted = await transactional.transaction();
    await aborted.send({ topic, messages: [message("a", 1), message("a", 2)] });
    await aborted.abort();
    await plant([message("a", 3)]);
    expect(await verify()).toMatchObject({ exit: 0, topics: [{ records: 1 }] });
    expect(await verify("--isolation", "read_uncommitted")).toMatchObject({ topics: [{ records: 3 }] });
    const open = await transactional.transaction();
    await open.send({ topic, messages: [message("a", 4)] });
    await plant([message("a", 5)]);
    expect(await verify()).toMatchObject({ exit: 69, code: "AUDIT_INCONCLUSIVE", topics: [{ records: 1 }] });
    await open.commit();
    expect(await verify()).toMatchObject({ exit: 0, topics: [{ records: 3 }] });
    await transactional.disconnect();
  });

  it("judges from an instant on", async () => {
    const ms = Date.UTC(2026, 0, 1);
    await plant([1, 2, 3, 4].map((n) => message("a", n, { timestamp: String(ms + n * 60_000) })));
    expect(await verify("--since", "2026-01-01T00:03:00Z")).toMatchObject({ topics: [{ records: 2 }] });
    expect(await verify("--since", "2026-01-01T00:05:00Z")).toMatchObject({ topics: [{ records: 0 }] });
  });

  it("needs SELECT alone, joins no consumer group and leaves no offset behind", async () => {
    await plant([message("a", 1)]);
    await insert("a");
    const role = `verifier_${randomUUID().replaceAll("-", "").slice(0, 12)}`;
    await client.query(`create role ${role} login password 'plain';
      grant select on undispatched_events, outrider_blocked_aggregates, outrider_dead_letters to ${role}`);
    const url = new URL(database.url);
    [url.username, url.password] = [role, "plain"];
    const admin = kafka.admin();
    await admin.connect();
    const groupsBefore = (await admin.listGroups()).groups.map(({ groupId }) => groupId);
    const allowed = await outrider(["--topic", topic, "--duration", "100ms", "--json"], url.href);
    const groups = (await admin.listGroups()).groups.map(({ groupId }) => groupId);
    expect(groups.filter((group) => !groupsBefore.includes(group) && group.includes("outrider"))).toEqual([]);
    expect(JSON.parse(allowed.stdout)).toMatchObject({ isClean: true, rows: { judged: 1, waiting: 1 } });
    await client.query(`revoke select on outrider_dead_letters from ${role}`);
    const refused = await outrider(["--topic", topic, "--duration", "100ms"], url.href);
    expect(refused).toMatchObject({ code: 78, stdout: "" });
    expect(refused.stderr).toContain("grant select on");
    await admin.disconnect();
    await client.query(`drop owned by ${role}; drop role ${role}`);
  });

  it("refuses a topic that is not there, and to guess where nothing fits", async () => {
    const absent = await outrider(["--topic", "no-such-topic", "--duration", "100ms"]);
    expect(absent).toMatchObject({ code: 78, stdout: "" });
    expect(absent.stderr).toContain("no such topic: no-such-topic");
    const nothing = await outrider([
      ...["--duration", "100ms", "--topic-default", `${topic}-none`],
      ...["--topic-template", `${topic}-none.\${aggregate_type}`],
    ]);
    expect(nothing).toMatchObject({ code: 78, stdout: "" });
    expect(nothing.stderr).toContain("--topic");
    expect(await outrider(["--duration", "soon"])).toMatchObject({ code: 2 });
  });
});
