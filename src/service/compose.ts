/** The only room that builds things: settings become a relay with its adapters and listeners. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Logger } from "pino";
import { systemClock } from "../foundation/clock.ts";
import type { Lifecycle } from "../foundation/lifecycle.ts";
import { InboxPruning } from "../inbox/pruning.ts";
import { LeaseKeeper } from "../lease/lease-keeper.ts";
import { PostgresLeases } from "../lease/postgres-leases.ts";
import { logListener, openLog } from "../observability/log.ts";
import type { DeadLetterChannel } from "../outbox/dead-letter-channel.ts";
import { knownMigrations } from "../outbox/migrator.ts";
import { PostgresSession } from "../outbox/postgres-connection.ts";
import { PostgresDeadLetters } from "../outbox/postgres-dead-letters.ts";
import { PostgresOutbox } from "../outbox/postgres-outbox.ts";
import { KafkaPublisher } from "../publisher/kafka.ts";
import type { Publisher } from "../publisher/publisher.ts";
import { StdoutPublisher } from "../publisher/stdout.ts";
import { Announcements, leasesChanged } from "../relay/announcements.ts";
import type { RelayLimits } from "../relay/polling-publisher.ts";
import { Relay } from "../relay/relay.ts";
import { databaseConfigOf, kafkaOptionsOf, routingOf, type Settings } from "./config.ts";
import { Maintenance } from "./maintenance.ts";
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
  const options = { level: settings.logLevel, instance: `${hostname()}-${process.pid}`, version };
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

function composePublisher(settings: Settings, log: Logger): Publisher {
  if (settings.publisher === "stdout") return new StdoutPublisher(process.stdout);
  return new KafkaPublisher(kafkaOptionsOf(settings), ({ level, message }) =>
    log[level]({ source: "kafkajs" }, message),
  );
}

function limitsOf(settings: Settings): RelayLimits {
  return {
    ...settings,
    fenceHoldMs: settings.fencePolicy === "strict" ? Number.POSITIVE_INFINITY : settings.fenceHoldMs,
  };
}

function composeLeases(settings: Settings, announcements: Announcements): LeaseKeeper {
  const member = `${hostname()}-${process.pid}-${randomUUID()}`;
  const leases = new PostgresLeases(databaseConfigOf(settings), member, settings.leaseTtlMs);
  return new LeaseKeeper(
    leases,
    settings,
    systemClock,
    (change) => announcements.announce(leasesChanged(change)),
    (message) => announcements.announce({ type: "lease-round-failed", message }),
  );
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
  announcements.subscribe(logListener(log));
  const parts = {
    shards: composeLeases(settings, announcements),
    outbox,
    // Asked between two claims and never beside one, so it needs no connection of its own.
    ledger: new PostgresDeadLetters(outbox.reader, settings.schema, routingOf(settings)),
    publisher: composePublisher(settings, log),
    clock: systemClock,
    random: Math.random,
    announcements,
  };
  const relay = new Relay(parts, limitsOf(settings), routingOf(settings));
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
    ],
    log,
  );
  return {
    start: async () => {
      await relay.start();
      await maintenance.start();
    },
    stop: async () => {
      pruning.stop();
      await maintenance.stop();
      await relay.stop();
    },
    finished: () => relay.finished(),
  };
}
