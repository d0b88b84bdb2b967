/** The only room that builds things: settings become a relay with its adapters and listeners. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Logger } from "pino";
import { shardsPerGroup } from "../event/shard.ts";
import { systemClock } from "../foundation/clock.ts";
import type { Lifecycle } from "../foundation/lifecycle.ts";
import { InboxPruning } from "../inbox/pruning.ts";
import { LeaseKeeper } from "../lease/lease-keeper.ts";
import { PostgresLeases } from "../lease/postgres-leases.ts";
import { logListener, openLog } from "../observability/log.ts";
import { redactionOf } from "../observability/redaction.ts";
import type { DeadLetterChannel } from "../outbox/dead-letter-channel.ts";
import { knownMigrations } from "../outbox/migrator.ts";
import { PostgresDeadLetters } from "../outbox/postgres-dead-letters.ts";
import { PostgresOutbox } from "../outbox/postgres-outbox.ts";
import { PostgresSession } from "../outbox/postgres-session.ts";
import { PostgresWitness } from "../outbox/postgres-witness.ts";
import type { OutboxWitness } from "../outbox/witness.ts";
import { KafkaTopicReader } from "../publisher/kafka-topic-reader.ts";
import type { TopicReader } from "../publisher/topic-reader.ts";
import { Announcements, leasesChanged } from "../relay/announcements.ts";
import type { RelayLimits } from "../relay/polling-publisher.ts";
import { Relay } from "../relay/relay.ts";
import { Schedule } from "../relay/schedule.ts";
import { composeDelivery } from "./compose-delivery.ts";
import { observe } from "./compose-observability.ts";
import { databaseConfigOf, kafkaOptionsOf, routingOf, type Settings, secretsOf } from "./config.ts";
import { type Chore, Maintenance } from "./maintenance.ts";
import { version } from "./version.ts";

/** Rows that the periodic count looks at; more than that is said as "more than". */
const backlogCountMax = 100_000;

/** A relay with everything around it, ready to start. */
export interface Service extends Lifecycle {
  /** Settles when the relay ends: rejected by a fault that only a restart repairs. */
  finished(): Promise<void>;
}

/** The log of this process; on standard error when the events themselves go to standard output. */
export function composeLog(settings: Settings): Logger {
  const redact = redactionOf(secretsOf(settings));
  const options = { level: settings.logLevel, instance: `${hostname()}-${process.pid}`, version, redact };
  return openLog(options, settings.publisher === "stdout" ? "stderr" : "stdout");
}

export function composeOutbox(settings: Settings): PostgresOutbox {
  return new PostgresOutbox(
    databaseConfigOf(settings),
    knownMigrations().map(({ name }) => name),
  );
}

/** What an operator asks of the dead letters, on a connection of its own. */
export function composeDeadLetters(settings: Settings): {
  readonly channel: DeadLetterChannel;
  close(): Promise<void>;
} {
  const session = new PostgresSession(databaseConfigOf(settings), "outrider dead letters");
  return {
    channel: new PostgresDeadLetters(session, settings.schema, routingOf(settings)),
    close: () => session.close(),
  };
}

/** What an audit asks: the outbox and its topics, both read only. */
export function composeAudit(settings: Settings): {
  readonly witness: OutboxWitness;
  readonly reader: TopicReader;
  close(): Promise<void>;
} {
  const witness = new PostgresWitness(databaseConfigOf(settings));
  const reader = new KafkaTopicReader(kafkaOptionsOf(settings));
  return {
    witness,
    reader,
    close: async () => {
      await Promise.all([witness.close(), reader.close()]);
    },
  };
}

function limitsOf(settings: Settings): RelayLimits {
  return {
    ...settings,
    fenceHoldMs: settings.fencePolicy === "strict" ? Number.POSITIVE_INFINITY : settings.fenceHoldMs,
  };
}

function composeLeases(settings: Settings, announcements: Announcements): LeaseKeeper {
  const unitShards = settings.delivery === "at-least-once" ? 1 : shardsPerGroup;
  const member = `${hostname()}-${process.pid}-${randomUUID()}`;
  const leases = new PostgresLeases(databaseConfigOf(settings), member, settings.leaseTtlMs);
  return new LeaseKeeper(
    leases,
    settings,
    systemClock,
    (change) => announcements.announce(leasesChanged(change)),
    (message) => announcements.announce({ type: "lease-round-failed", message }),
    unitShards,
  );
}

/** The chore whose ticks open the runs of a schedule. */
function dispatchChore(cron: string, schedule: Schedule): Chore {
  return {
    name: "dispatch",
    cron,
    run: () => schedule.tick(),
    onSkip: () => schedule.skip(),
    onMiss: (dueAt) => schedule.miss(dueAt),
  };
}

function composeInboxPruning(settings: Settings, announcements: Announcements): InboxPruning {
  const connect = () => {
    const session = new PostgresSession(databaseConfigOf(settings), "outrider relay (inbox)");
    return {
      execute: (sql: string, texts: readonly (string | null)[]) => session.execute(sql, texts),
      ask: async (sql: string, texts: readonly (string | null)[]) =>
        (await session.query<[string]>(sql, texts)).map(([text]) => text),
      close: () => session.close(),
    };
  };
  const { schema, inboxRetentionMs: retentionMs, inboxPruneRowsMax: rowsMax } = settings;
  return new InboxPruning(
    connect,
    { schema, retentionMs, rowsMax },
    {
      pruned: (rows) => announcements.announce({ type: "inbox-pruned", rows }),
      obstructed: (obstacle) => announcements.announce({ type: "inbox-unprunable", obstacle }),
    },
  );
}

/** @throws OutriderError CONFIG_INVALID when an address is missing. */
export function composeRelay(settings: Settings, log: Logger): Service {
  const outbox = composeOutbox(settings);
  const announcements = new Announcements();
  announcements.subscribe(logListener(log, settings.logIds));
  const shards = composeLeases(settings, announcements);
  const delivering = composeDelivery(settings, { outbox, shards, announcements }, log);
  const schedule = settings.schedule === null ? undefined : new Schedule(systemClock, announcements);
  const parts = {
    shards,
    outbox,
    // Asked between two claims and never beside one, so it needs no connection of its own.
    ledger: new PostgresDeadLetters(outbox.reader, settings.schema, routingOf(settings)),
    clock: systemClock,
    random: Math.random,
    announcements,
    ...(schedule === undefined ? undefined : { makeDispatch: () => schedule.join() }),
  };
  const relay = new Relay({ ...parts, ...delivering }, limitsOf(settings), routingOf(settings));
  const observation = observe(settings, relay, announcements, log);
  const countBacklog = async () => {
    const { events, oldestAgeMs } = await outbox.backlog(backlogCountMax);
    announcements.announce({
      type: "backlog-counted",
      events,
      isMore: events === backlogCountMax,
      oldestAgeMs,
    });
  };
  const pruning = composeInboxPruning(settings, announcements);
  const prune = { name: "inbox pruning", cron: settings.inboxPruneCron, run: () => pruning.run() };
  const maintenance = new Maintenance(
    [
      ...(settings.inboxRetentionMs === 0 ? [] : [prune]),
      { name: "sweep", cron: settings.sweepCron, run: async () => relay.sweepSoon() },
      { name: "statistics", cron: settings.statisticsCron, run: countBacklog },
      ...(schedule === undefined || settings.schedule === null
        ? []
        : [dispatchChore(settings.schedule, schedule)]),
    ],
    log,
  );
  return {
    start: async () => {
      // First: whoever waits for PostgreSQL and Kafka is alive and says so.
      await observation.endpoint.start();
      await relay.start();
      await maintenance.start();
    },
    stop: async () => {
      observation.drain();
      // Before the chores, which are waited for: a run may be waiting for an outage to end.
      schedule?.close();
      pruning.stop();
      await maintenance.stop();
      await relay.stop();
      await observation.endpoint.stop();
    },
    finished: () => relay.finished(),
  };
}
