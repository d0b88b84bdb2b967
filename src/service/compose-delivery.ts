/** The half of the relay that differs between the delivery modes: slices, lines, publishers, the book. */
import type { Logger } from "pino";
import { allGroups } from "../event/shard.ts";
import { systemClock } from "../foundation/clock.ts";
import type { ShardHolding } from "../lease/lease.ts";
import type { BatchBook } from "../outbox/batch-book.ts";
import { knownMigrations } from "../outbox/migrator.ts";
import type { Outbox } from "../outbox/outbox.ts";
import { PostgresBatchBook } from "../outbox/postgres-batch-book.ts";
import { PostgresOutbox } from "../outbox/postgres-outbox.ts";
import { KafkaPublisher } from "../publisher/kafka.ts";
import { KafkaTransactions } from "../publisher/kafka-transactions.ts";
import type { Publisher, PublisherRemark } from "../publisher/publisher.ts";
import { StdoutPublisher } from "../publisher/stdout.ts";
import type { Announcements } from "../relay/announcements.ts";
import { AtMostOnceLine } from "../relay/at-most-once-line.ts";
import { ExactlyOnceLine } from "../relay/exactly-once-line.ts";
import type { RelayParts } from "../relay/relay.ts";
import { groupSlices, wholeSlice } from "../relay/slices.ts";
import { databaseConfigOf, kafkaOptionsOf, type Settings } from "./config.ts";

export interface DeliverySurroundings {
  readonly outbox: Outbox;
  readonly shards: ShardHolding;
  readonly announcements: Announcements;
}

/** Connections for claims, and as many for the book: the loops of the groups work side by side. */
const sessionsPerKind = allGroups.length;

export type Delivering = Pick<RelayParts, "slices" | "close">;

/** @throws OutriderError CONFIG_INVALID when an address is missing. */
export function composeDelivery(
  settings: Settings,
  { outbox, shards, announcements }: DeliverySurroundings,
  log: Logger,
): Delivering {
  const remark = ({ level, message }: PublisherRemark) => log[level]({ source: "kafkajs" }, message);
  const parts = { clock: systemClock, random: Math.random, announcements };
  if (settings.delivery === "exactly-once") {
    const book = new PostgresBatchBook(databaseConfigOf(settings), sessionsPerKind);
    const outboxes = composeOutboxes(settings, outbox);
    const publishers = allGroups.map((group) => composeTransactions(settings, book, group, remark));
    const { acceptDuplicates } = settings;
    const slices = groupSlices(shards, outboxes, (group, leadShard) => (owner) => {
      const publisher = publishers[group] as KafkaTransactions;
      return new ExactlyOnceLine({ ...parts, group, leadShard, book, publisher, acceptDuplicates }, owner);
    });
    return { slices, close: () => closeAll([...publishers, ...outboxes, { close: () => book.end() }]) };
  }
  if (settings.delivery === "at-most-once") {
    const book = new PostgresBatchBook(databaseConfigOf(settings), sessionsPerKind);
    const outboxes = composeOutboxes(settings, outbox);
    const publishers = allGroups.map(() => composePublisher(settings, remark));
    const slices = groupSlices(shards, outboxes, (group, leadShard) => (owner) => {
      const publisher = publishers[group] as Publisher;
      return new AtMostOnceLine({ ...parts, group, leadShard, book, publisher }, owner);
    });
    return { slices, close: () => closeAll([...publishers, ...outboxes, { close: () => book.end() }]) };
  }
  const publisher = composePublisher(settings, remark);
  const slices = wholeSlice(shards, { ...parts, outbox, publisher, bounds: settings });
  return { slices, close: () => publisher.close() };
}

/** One for each group: claims of two milliseconds, one after the other, are soon what a batch waits for. */
function composeOutboxes(settings: Settings, first: Outbox): readonly Outbox[] {
  const migrations = knownMigrations().map(({ name }) => name);
  const others = Array.from(
    { length: sessionsPerKind - 1 },
    () => new PostgresOutbox(databaseConfigOf(settings), migrations),
  );
  return [first, ...others];
}

async function closeAll(all: readonly { close(): Promise<void> }[]): Promise<void> {
  await Promise.all(all.map((one) => one.close()));
}

function composePublisher(settings: Settings, remark: (remark: PublisherRemark) => void): Publisher {
  if (settings.publisher === "stdout") return new StdoutPublisher(process.stdout);
  return new KafkaPublisher(kafkaOptionsOf(settings), remark);
}

function composeTransactions(
  settings: Settings,
  book: BatchBook,
  group: number,
  remark: (remark: PublisherRemark) => void,
): KafkaTransactions {
  const { transactionalIdPrefix, progressTopic, kafkaTransactionTimeoutMs } = settings;
  return new KafkaTransactions(
    kafkaOptionsOf(settings),
    {
      outboxName: async () => `${transactionalIdPrefix}-${await book.identity()}`,
      group,
      groupCount: allGroups.length,
      progressTopic,
      transactionTimeoutMs: kafkaTransactionTimeoutMs,
    },
    remark,
  );
}
