/** What facts mean; for what cannot be had on the servers of a test run, and for what must not be found. */
import { describe, expect, it } from "vitest";
import type { KafkaFacts, PartitionFacts, TopicFacts } from "../../../src/doctor/cluster-facts.ts";
import { wantedTopics } from "../../../src/doctor/cluster-facts.ts";
import type { DatabaseFacts, Holder, ServerFacts } from "../../../src/doctor/database-facts.ts";
import { diagnose, runCheckup } from "../../../src/doctor/doctor.ts";
import { foreignStamps } from "../../../src/doctor/event-findings.ts";
import { decodeAnswer, encodeQuestion } from "../../../src/doctor/kafka-metadata.ts";
import { needsOf } from "../../../src/doctor/privileges.ts";
import type { Settings } from "../../../src/doctor/settings.ts";
import { isNear } from "../../../src/doctor/transport-findings.ts";
import { OutriderError } from "../../../src/foundation/errors.ts";

const settings: Settings = {
  schema: "public",
  publisher: "kafka",
  delivery: "at-least-once",
  inboxRetentionMs: 0,
  statementTimeoutMs: 30_000,
  topicTemplate: "outbox.event.${aggregate_type}",
  topicDefault: "outbox.event",
  progressTopic: "outrider-progress",
  recordBatchBytesMax: 900_000,
  payloadBytesMax: 1_000_000,
  kafkaTransactionTimeoutMs: 15_000,
  database: { host: "localhost", sslmode: "disable" },
  kafka: { brokers: ["127.0.0.1:9092"], hasTls: false, saslMechanism: null, username: null },
};

const server: ServerFacts = {
  clockAheadMs: 3,
  clockUncertaintyMs: 1,
  isPooled: false,
  isStandby: false,
  isReadOnly: false,
  autovacuum: true,
  fsync: true,
  synchronousCommit: true,
  statementTimeoutMs: 30_000,
  lockSlots: 64 * 1_000,
};

const all = { select: true, insert: false, update: true, delete: true, hidesRows: false };
const healthy: DatabaseFacts = {
  server,
  role: {
    name: "relay",
    isSuperuser: false,
    isBootstrap: false,
    isOwner: false,
    hasSchemaUsage: true,
    tables: Object.fromEntries(
      needsOf("relay", settings).map(({ table }) => [table, { ...all, insert: true }]),
    ),
    excess: [],
  },
  table: {
    options: [
      "autovacuum_vacuum_scale_factor=0",
      "autovacuum_vacuum_threshold=1000",
      "autovacuum_vacuum_cost_delay=0",
      "vacuum_index_cleanup=true",
      "vacuum_truncate=false",
    ],
    toastOptions: null,
    createdAtDefault: "clock_timestamp()",
    invalidIndex: null,
    announcing: null,
    deadTuples: 2_500,
    liveTuples: 0,
    stampers: [],
  },
  faults: [],
  pendingMigrations: [],
  holders: [],
  rows: { destinations: [], stamps: [], clock: 0, blocked: 0, deadLetters: 0 },
  outboxId: null,
};

const partition: PartitionFacts = { partition: 0, hasLeader: true, replicas: 3, insync: 3 };
const topic: TopicFacts = {
  topic: "outbox.event",
  errorCode: 0,
  partitions: [partition],
  operations: null,
  settings: {
    "max.message.bytes": "1048588",
    "min.insync.replicas": "2",
    "cleanup.policy": "delete",
    "unclean.leader.election.enable": "false",
  },
};
const here = (address: string) => ({ address, trouble: null });
const cluster: KafkaFacts = {
  bootstrap: [here("127.0.0.1:9092")],
  brokers: [here("127.0.0.1:9092"), here("127.0.0.1:9093"), here("127.0.0.1:9094")],
  topics: [topic],
  transactions: null,
};

interface Case {
  readonly database?: Partial<DatabaseFacts>;
  readonly kafka?: Partial<KafkaFacts>;
  readonly settings?: Partial<Settings>;
}

async function found(changed: Case) {
  const parts = {
    settings: { ...settings, ...changed.settings },
    database: { read: async () => ({ ...healthy, ...changed.database }) },
    kafka: { read: async () => ({ ...cluster, ...changed.kafka }) },
  };
  return runCheckup(parts, { role: null, topics: [], heldAfterMs: 60_000, isStrict: false });
}
const codes = async (changed: Case) =>
  (await found(changed)).findings.map(({ severity, code }) => `${severity} ${code}`);
const withTopic = (more: Partial<TopicFacts>): Case => ({ kafka: { topics: [{ ...topic, ...more }] } });
const withSettings = (more: Record<string, string>) =>
  withTopic({ settings: { ...topic.settings, ...more } });

it("says nothing about what is healthy", async () => {
  expect(await found({})).toEqual({ ok: true, findings: [], isOnlyAway: false });
});

const session: Holder = {
  kind: "session",
  pid: 7,
  application: "report",
  user: "bi",
  state: "idle in transaction",
  isWriter: false,
  ageMs: 61_000,
};
const slot: Holder = {
  kind: "slot",
  slot: "it's old",
  isActive: false,
  holdsRows: true,
  walBytes: 5 * 2 ** 30,
  ageMs: 0,
};

describe.each<[string, Case, readonly string[]]>([
  [
    "a clock far ahead",
    { database: { server: { ...server, clockAheadMs: 60_000 } } },
    ["warning clock-difference"],
  ],
  [
    "a clock that a slow answer blurs",
    { database: { server: { ...server, clockAheadMs: -1_500, clockUncertaintyMs: 900 } } },
    [],
  ],
  [
    "room for more locks than a poll should look through",
    { database: { server: { ...server, lockSlots: 64 * 5_000 } } },
    ["warning lock-table-large"],
  ],
  [
    "a standby",
    { database: { server: { ...server, isStandby: true, isReadOnly: true } } },
    ["error database-standby"],
  ],
  [
    "asynchronous commits",
    { database: { server: { ...server, synchronousCommit: false } } },
    ["warning synchronous-commit-off"],
  ],
  [
    "a trigger that announces in some sessions only",
    { database: { table: { ...(healthy.table as NonNullable<DatabaseFacts["table"]>), announcing: "O" } } },
    ["warning narrow-fence-off"],
  ],
  [
    "a trigger that announces in all of them",
    { database: { table: { ...(healthy.table as NonNullable<DatabaseFacts["table"]>), announcing: "A" } } },
    [],
  ],
  [
    "no autovacuum at all",
    { database: { server: { ...server, autovacuum: false } } },
    ["error autovacuum-off"],
  ],
  ["an old report", { database: { holders: [session] } }, ["warning vacuum-held"]],
  ["an old writer", { database: { holders: [{ ...session, isWriter: true }] } }, ["error fence-held"]],
  ["a young report", { database: { holders: [{ ...session, ageMs: 59_000 }] } }, []],
  [
    "a standby with feedback",
    { database: { holders: [{ ...session, kind: "standby" }] } },
    ["warning vacuum-held"],
  ],
  ["a slot that nobody reads", { database: { holders: [slot] } }, ["warning replication-slot-unused"]],
  ["a slot that somebody reads", { database: { holders: [{ ...slot, isActive: true }] } }, []],
  [
    "dead rows, and holders that this role cannot see the age of",
    {
      database: {
        table: { ...(healthy.table as NonNullable<DatabaseFacts["table"]>), deadTuples: 300_000 },
        holders: [{ ...session, ageMs: null }],
      },
    },
    ["warning dead-tuples", "note activity-hidden"],
  ],
  [
    "what was blocked and given up",
    {
      database: {
        rows: { ...(healthy.rows as NonNullable<DatabaseFacts["rows"]>), blocked: 1, deadLetters: 1 },
      },
    },
    ["warning aggregates-blocked", "note dead-letters"],
  ],
  [
    "one replica",
    withTopic({
      partitions: [{ ...partition, replicas: 1, insync: 1 }],
      settings: { ...topic.settings, "min.insync.replicas": "1" },
    }),
    ["warning replication-factor"],
  ],
  ["one replica in sync is enough", withSettings({ "min.insync.replicas": "1" }), ["warning min-insync-low"]],
  ["all replicas must be in sync", withSettings({ "min.insync.replicas": "3" }), ["warning min-insync-all"]],
  [
    "too few are in sync",
    withTopic({ partitions: [{ ...partition, insync: 1 }] }),
    ["error replicas-behind"],
  ],
  [
    "no leader",
    withTopic({ partitions: [{ ...partition, hasLeader: false }] }),
    ["error partition-leaderless"],
  ],
  ["an answer that is no answer", withTopic({ errorCode: 5 }), ["warning topic-unclear"]],
  ["describing is all it may", withTopic({ operations: 1 << 8 }), ["error topic-forbidden"]],
  ["describing and writing is enough", withTopic({ operations: (1 << 8) | (1 << 4) }), []],
  [
    "payloads larger than the topic takes",
    { settings: { payloadBytesMax: 8_388_608 } },
    ["note payload-above-topic"],
  ],
  ["two brokers", { kafka: { brokers: cluster.brokers.slice(1) } }, ["warning brokers-few"]],
  ["a name that no topic has", { settings: { topicDefault: "no topic" } }, ["error topic-invalid"]],
  [
    "PostgreSQL across the network",
    { settings: { database: { host: "db", sslmode: "disable" } } },
    ["warning database-plaintext"],
  ],
  [
    "TLS that checks nobody",
    { settings: { database: { host: "db", sslmode: "require" } } },
    ["warning database-unverified"],
  ],
  ["TLS that checks", { settings: { database: { host: "db", sslmode: "verify-full" } } }, []],
  [
    "Kafka across the network",
    { settings: { kafka: { brokers: ["kafka:9092"], hasTls: false, saslMechanism: null, username: null } } },
    ["warning kafka-plaintext"],
  ],
  [
    "a password across the network",
    {
      settings: { kafka: { brokers: ["kafka:9092"], hasTls: false, saslMechanism: "plain", username: "u" } },
    },
    ["error kafka-plaintext"],
  ],
  [
    "a transaction time-out that the brokers refuse",
    {
      kafka: {
        transactions: {
          transactionalIdPrefix: "p",
          transactionalIdTrouble: null,
          groupTrouble: null,
          timeoutMsMax: 10_000,
        },
      },
    },
    ["error transaction-timeout"],
  ],
])("%s", (_, changed, expected) => {
  it(`is found as: ${expected.join(", ") || "nothing"}`, async () => {
    expect(await codes(changed)).toEqual(expected);
    for (const { message, repair } of (await found(changed)).findings) {
      expect(message).toMatch(/^\S.*[^.]$/);
      expect(repair).not.toBe("");
    }
  });
});

it("quotes what stands in repairs", async () => {
  const { findings } = await found({
    database: { holders: [slot], role: { ...healthy.role, name: 'we"ird', hasSchemaUsage: false } },
  });
  expect(findings.map(({ repair }) => repair)).toEqual([
    'grant usage on schema "public" to "we""ird"',
    "select pg_drop_replication_slot('it''s old')",
  ]);
});

describe("stamps", () => {
  const second = 1_000_000;
  const at = (...times: readonly number[]) =>
    foreignStamps({
      ...(healthy.rows as NonNullable<DatabaseFacts["rows"]>),
      clock: 1_000 * second,
      stamps: times.map((time, n) => ({ createdAt: time * second, seq: BigInt(n) })),
    });

  it("that rise with seq are the database's own, give or take what concurrent writers overlap", () => {
    expect(at(10, 11, 10.5, 12, 11.9, 900)).toEqual({ future: 0, backdated: 0 });
  });
  it("that lie ahead are counted, and make the others no older", () => {
    expect(at(10, 5_000, 11, 12)).toEqual({ future: 1, backdated: 0 });
  });
  it("that fall behind are counted", () => {
    expect(at(100, 50, 101, 20)).toEqual({ future: 0, backdated: 2 });
  });
});

describe("a diagnosis", () => {
  const warning = { code: "w", severity: "warning", message: "m", repair: "r" } as const;
  it("is bad for warnings only when it is strict, and sorts the worst first", () => {
    expect(diagnose([warning], false).ok).toBe(true);
    expect(diagnose([warning], true).ok).toBe(false);
    const error = { ...warning, severity: "error" } as const;
    expect(diagnose([warning, error], false)).toMatchObject({
      ok: false,
      findings: [error, warning],
      isOnlyAway: false,
    });
  });
  it("knows what is merely away, and lets no bug pass for a finding", async () => {
    const choices = { role: null, topics: [], heldAfterMs: 0, isStrict: false };
    const away = async () => {
      throw new OutriderError("OUTBOX_UNAVAILABLE", "away", { retriable: true });
    };
    const kafka = { read: async () => cluster };
    expect(await runCheckup({ settings, database: { read: away }, kafka }, choices)).toMatchObject({
      ok: false,
      isOnlyAway: true,
    });
    const bug = async () => {
      throw new TypeError("bug");
    };
    await expect(runCheckup({ settings, database: { read: bug }, kafka }, choices)).rejects.toThrow("bug");
  });
});

describe("wanted topics", () => {
  it("are each asked for once, for the strongest reason", () => {
    const wanted = wantedTopics(
      { ...settings, delivery: "exactly-once" },
      ["named", "t"],
      [
        { topic: "t", aggregateType: null },
        { topic: null, aggregateType: "order" },
        { topic: null, aggregateType: null },
      ],
    );
    expect(wanted).toEqual([
      { topic: "t", why: "waiting" },
      { topic: "outbox.event.order", why: "waiting" },
      { topic: "outbox.event", why: "waiting" },
      { topic: "named", why: "named" },
      { topic: "outrider-progress", why: "progress" },
    ]);
  });
});

it("takes only this machine for near", () => {
  expect(
    ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "", "/run/postgresql"].map(isNear),
  ).not.toContain(false);
  expect(["db", "10.0.0.1", "127.0.0.1.example.org", "::2"].map(isNear)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});

it("asks Kafka for metadata that creates nothing and tells rights, and reads a partition without a leader", () => {
  expect(encodeQuestion(["ab"])).toEqual(Buffer.from([0, 0, 0, 1, 0, 2, 97, 98, 0, 0, 1]));
  const text = (value: string) => Buffer.concat([Buffer.from([0, value.length]), Buffer.from(value)]);
  const int = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return bytes;
  };
  const none = Buffer.from([255, 255]);
  const answer = Buffer.concat([
    int(0),
    int(1),
    int(3),
    text("::1"),
    int(9092),
    none,
    text("cluster"),
    int(3),
    int(1),
    Buffer.from([0, 0]),
    text("t"),
    Buffer.from([0]),
    int(1),
    Buffer.from([0, 5]),
    int(0),
    int(-1),
    int(4),
    int(2),
    int(1),
    int(2),
    int(0),
    int(1),
    int(1),
    int(-2_147_483_648),
    int(-2_147_483_648),
  ]);
  expect(decodeAnswer(answer)).toEqual({
    brokers: [{ nodeId: 3, address: "[::1]:9092" }],
    topics: [
      {
        topic: "t",
        errorCode: 0,
        partitions: [{ partition: 0, hasLeader: false, replicas: 2, insync: 0 }],
        operations: null,
      },
    ],
  });
});
