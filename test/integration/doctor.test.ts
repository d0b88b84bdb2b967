/**
 * The doctor on real parts: a healthy set-up is found healthy; each set-up that is broken on purpose is
 * found with its repair, and the repair, carried out as it stands, makes it healthy again.
 */
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import type { CheckupChoices } from "../../src/doctor/doctor.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { quoteIdentifier } from "../../src/outbox/statements.ts";
import { carryOut, checkUp, own } from "../support/checkup.ts";
import { RoledDatabase } from "../support/roled-database.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";

const brokers = inject("kafkaBrokers");
const events = '"out""box".undispatched_events';

let database: RoledDatabase;
let relay: string;
let app: string;
let topic: string;
const clients: pg.Client[] = [];

beforeEach(async () => {
  database = await RoledDatabase.make('out"box');
  relay = await database.granted("relay");
  app = await database.granted("app");
  topic = uniqueTopic("doctor");
  await createTopics(brokers, [{ topic, partitions: 3 }]);
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
  await database.drop();
});

const environment = (more: Readonly<Record<string, string>> = {}) => ({
  DATABASE_URL: database.urlOf(relay),
  OUTRIDER_SCHEMA: database.schema,
  KAFKA_BROKERS: brokers,
  OUTRIDER_TOPIC_DEFAULT: topic,
  ...more,
});

const roleName = () => quoteIdentifier(relay);
const sql = (text: string) => () => database.admin.query(text);

async function open(role: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.urlOf(role), application_name: "reporting" });
  client.on("error", () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}

it("finds a healthy set-up healthy, before and after events, in each mode of delivery", async () => {
  for (const delivery of ["at-least-once", "at-most-once", "exactly-once"] as const) {
    await database.grant("relay", relay, { delivery, inboxRetentionMs: 3_600_000 });
    const progress = uniqueTopic("progress");
    await createTopics(brokers, [{ topic: progress, partitions: 8 }]);
    const diagnosis = await checkUp(
      environment({
        OUTRIDER_DELIVERY: delivery,
        OUTRIDER_PROGRESS_TOPIC: progress,
        OUTRIDER_INBOX_RETENTION_MS: "3600000",
      }),
    );
    expect(own(diagnosis)).toEqual([]);
    expect(diagnosis.ok).toBe(true);
    await database.admin.query(
      `insert into ${events} (aggregate_id, event_payload, topic) select 'a' || n % 100, '{}', '${topic}' from generate_series(1, 2000) n`,
    );
  }
});

interface Broken {
  readonly name: string;
  readonly breakIt: () => Promise<unknown>;
  /** In any order. */
  readonly codes: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly choices?: Partial<CheckupChoices>;
  /** In the place of what the finding says, where that is no statement. */
  readonly repairs?: Readonly<Record<string, () => Promise<unknown>>>;
}

const inTable: readonly Broken[] = [
  {
    name: "an UNLOGGED table",
    breakIt: sql(`alter table ${events} set unlogged`),
    codes: ["table-unlogged"],
  },
  {
    name: "an index that is missing",
    breakIt: sql('drop index "out""box".undispatched_events_order'),
    codes: ["index-missing"],
  },
  {
    name: "an index whose build had failed",
    breakIt: sql(
      `update pg_index set indisvalid = false where indexrelid = '"out""box".undispatched_events_order'::regclass`,
    ),
    codes: ["index-missing"],
  },
  {
    name: "autovacuum settings that somebody reset",
    breakIt: sql(
      `alter table ${events} reset (autovacuum_vacuum_threshold, vacuum_truncate, toast.vacuum_index_cleanup)`,
    ),
    codes: ["autovacuum-settings"],
  },
  {
    name: "autovacuum switched off, and the dead rows it left",
    breakIt: async () => {
      await database.admin.query(
        `alter table ${events} set (autovacuum_enabled = off, toast.autovacuum_enabled = off)`,
      );
      await database.admin.query(
        `insert into ${events} (aggregate_id, event_payload) select 'a', '{}' from generate_series(1, 25000)`,
      );
      await database.admin.query(`delete from ${events}`);
      await database.admin.query("select pg_stat_force_next_flush()");
    },
    codes: ["autovacuum-disabled", "dead-tuples"],
  },
  {
    name: "a created_at that is stamped with the transaction's start",
    breakIt: sql(`alter table ${events} alter column created_at set default now()`),
    codes: ["created-at-default"],
  },
  {
    name: "an application that supplies created_at",
    breakIt: () =>
      database.admin.query(
        `grant insert on ${events} to ${quoteIdentifier(app)};
         insert into ${events} (aggregate_id, event_payload, topic) values ('a', '{}', '${topic}');
         insert into ${events} (aggregate_id, event_payload, topic, created_at)
         values ('b', '{}', '${topic}', clock_timestamp() + interval '1 hour')`,
      ),
    codes: ["created-at-future", "created-at-supplied"],
  },
  {
    name: "migrations that are pending",
    breakIt: () =>
      migrate(database.admin, {
        schema: database.schema,
        direction: "down",
        to: "0004_blocked_and_dead_letters",
        isForced: true,
      }),
    codes: ["migrations-pending"],
    repairs: {
      "outrider migrate": () => migrate(database.admin, { schema: database.schema, direction: "up" }),
    },
  },
  {
    name: "a narrow fence of an older version",
    breakIt: () =>
      migrate(database.admin, {
        schema: database.schema,
        direction: "up",
        only: "narrow-fence",
        to: "0007_narrow_fence",
      }),
    codes: ["migrations-pending"],
    repairs: {
      "outrider migrate": () => migrate(database.admin, { schema: database.schema, direction: "up" }),
    },
  },
];

const inRoles: readonly Broken[] = [
  {
    name: "rights that are missing on the outbox",
    breakIt: () => database.admin.query(`revoke select, delete on ${events} from ${roleName()}`),
    codes: ["right-missing"],
  },
  {
    name: "rights that are missing on several tables, and on the schema",
    breakIt: () =>
      database.admin.query(
        `revoke update on "out""box".outrider_shard_leases from ${roleName()};
         revoke insert, update on "out""box".outrider_dead_letters from ${roleName()};
         revoke usage on schema "out""box" from ${roleName()}`,
      ),
    codes: ["right-missing", "right-missing", "right-missing"],
  },
  {
    name: "a relay that is a superuser",
    breakIt: () => database.admin.query(`alter role ${roleName()} superuser`),
    codes: ["role-superuser"],
  },
  {
    name: "a relay that may update and truncate, one of it through PUBLIC",
    breakIt: () =>
      database.admin.query(
        `grant truncate on ${events} to ${roleName()}; grant update on ${events} to public`,
      ),
    codes: ["right-excess"],
  },
  {
    name: "row security",
    breakIt: sql(`alter table ${events} enable row level security`),
    codes: ["row-security"],
  },
  {
    name: "a role that is read only by default",
    breakIt: () => database.admin.query(`alter role ${roleName()} set default_transaction_read_only = on`),
    codes: ["database-read-only"],
  },
];

const inTheWay: readonly Broken[] = [
  {
    name: "a prepared transaction that was forgotten",
    breakIt: () =>
      database.admin.query(
        `begin; insert into "out""box".outrider_members values ('gone', now()); prepare transaction 'it''s forgotten'`,
      ),
    choices: { heldAfterMs: 0 },
    codes: ["transaction-prepared"],
  },
  {
    name: "a writer that stays open",
    breakIt: async () => {
      const writer = await open(app);
      await writer.query(
        `begin; insert into ${events} (aggregate_id, event_payload, topic) values ('a', '{}', '${topic}')`,
      );
    },
    choices: { heldAfterMs: 0 },
    codes: ["fence-held"],
  },
  {
    name: "a report that holds vacuum back",
    breakIt: async () => {
      const report = await open(app);
      await report.query("begin isolation level repeatable read; select 1");
    },
    choices: { heldAfterMs: 0 },
    codes: ["vacuum-held"],
  },
];

const setTopic = (name: string, value: string) => async () => {
  topic = uniqueTopic("doctor");
  await createTopics(brokers, [{ topic, settings: { [name]: value } }]);
};
let progress = "";

const inKafka: readonly Broken[] = [
  {
    name: "a topic that events wait for",
    breakIt: () =>
      database.admin.query(
        `insert into ${events} (aggregate_id, event_payload, topic) values ('a', '{}', '${uniqueTopic("absent")}')`,
      ),
    codes: ["topic-missing"],
  },
  {
    name: "a topic that takes less than a batch",
    breakIt: setTopic("max.message.bytes", "100000"),
    codes: ["record-batch-above-topic"],
  },
  {
    name: "a topic that demands more replicas than it has",
    breakIt: setTopic("min.insync.replicas", "2"),
    codes: ["min-insync-above-replicas"],
  },
  {
    name: "a topic that is compacted",
    breakIt: setTopic("cleanup.policy", "compact"),
    codes: ["topic-compacted"],
  },
  {
    name: "a topic with unclean elections",
    breakIt: setTopic("unclean.leader.election.enable", "true"),
    codes: ["unclean-election"],
  },
  {
    name: "a progress topic with too few partitions",
    breakIt: async () => {
      progress = uniqueTopic("progress");
      await createTopics(brokers, [{ topic: progress, partitions: 2 }]);
      await database.grant("relay", relay, { delivery: "exactly-once", inboxRetentionMs: 0 });
    },
    environment: { OUTRIDER_DELIVERY: "exactly-once" },
    codes: ["progress-partitions"],
  },
];

describe.each([...inTable, ...inRoles, ...inTheWay, ...inKafka])("$name", (broken) => {
  it(`is found (${[...new Set(broken.codes)].join(", ")}), and its repair makes it healthy`, async () => {
    // Whoever judges from outside sees how long others are open.
    const reader = await database.granted("reader");
    const examine = () => {
      const isOfOthers = broken.choices?.heldAfterMs !== undefined;
      const more = {
        ...broken.environment,
        ...(progress === "" ? undefined : { OUTRIDER_PROGRESS_TOPIC: progress }),
        ...(isOfOthers ? { DATABASE_URL: database.urlOf(reader) } : undefined),
      };
      const choices = isOfOthers ? { ...broken.choices, role: relay } : broken.choices;
      return checkUp(environment(more), choices);
    };
    await broken.breakIt();
    const ill = await examine();
    expect(
      own(ill)
        .map(({ code }) => code)
        .sort(),
    ).toEqual([...broken.codes].sort());
    for (const { code, repair } of own(ill)) {
      // Names that want to be quoted are quoted, or a repair would end here.
      const repaired = broken.repairs?.[repair]?.() ?? carryOut(repair, database.admin);
      await repaired.catch((error: unknown) => {
        throw new Error(`${code}: ${repair}: ${error}`);
      });
    }
    const well = await examine();
    expect(own(well)).toEqual([]);
    expect(well.ok).toBe(true);
  });
});
