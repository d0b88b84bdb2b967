/** An exactly-once relay in this process, built from the real parts, any of which can be exchanged. */
import { allGroups } from "../../src/event/shard.ts";
import { knownMigrations } from "../../src/outbox/migrator.ts";
import { PostgresBatchBook } from "../../src/outbox/postgres-batch-book.ts";
import { PostgresOutbox } from "../../src/outbox/postgres-outbox.ts";
import type { KafkaOptions } from "../../src/publisher/kafka-options.ts";
import type { ProgressPlace } from "../../src/publisher/kafka-transaction-desk.ts";
import { KafkaTransactions, type SuccessionMaker } from "../../src/publisher/kafka-transactions.ts";
import type { TransactionalPublisher } from "../../src/publisher/transactional-publisher.ts";
import { ExactlyOnceLine } from "../../src/relay/exactly-once-line.ts";
import { groupSlices } from "../../src/relay/slices.ts";
import { databaseConfig } from "../support/migrated-database.ts";
import { allOfThem, makeRelayOf, type RunningRelay } from "../support/running-relay.ts";
import { transactionTimeoutMs } from "./delivery.ts";
import type { Scene } from "./scene.ts";

/** What is different about a relay. */
export interface Change {
  readonly publisher?: (
    real: TransactionalPublisher,
    surroundings: PublisherSurroundings,
  ) => TransactionalPublisher;
  readonly succession?: SuccessionMaker;
}

export interface PublisherSurroundings {
  readonly kafka: KafkaOptions;
  readonly place: ProgressPlace;
}

export interface OnceOptions extends Change {
  /** The name towards Kafka. */
  readonly name: string;
  /** The term of all its leases: the higher one has taken over from the lower. */
  readonly term: string;
}

const progressTopic = "outrider-progress";

export async function onceRelay(
  scene: Scene,
  { name, term, publisher, succession }: OnceOptions,
): Promise<RunningRelay> {
  const config = databaseConfig(scene.url, { statementTimeoutMs: 5_000 });
  const book = new PostgresBatchBook(config);
  const groupId = `outrider-${await book.identity()}`;
  const kafka: KafkaOptions = {
    brokers: scene.kafka.addresses.split(","),
    clientId: name,
    tls: null,
    sasl: null,
    // Longer than any harm lasts: what is held is to be waited for.
    requestTimeoutMs: 15_000,
    connectionTimeoutMs: 5_000,
    compression: "none",
    requestBytesMax: 900_000,
  };
  const publishers = allGroups.map((group) => {
    const place = { groupId, topic: progressTopic, partition: group, partitions: allGroups.length };
    const options = {
      outboxName: async () => groupId,
      group,
      groupCount: allGroups.length,
      progressTopic,
      transactionTimeoutMs,
    };
    const real = new KafkaTransactions(kafka, options, () => undefined, undefined, succession);
    return publisher?.(real, { kafka, place }) ?? real;
  });
  const outbox = new PostgresOutbox(
    config,
    knownMigrations().map((migration) => migration.name),
  );
  const close = async () => {
    await Promise.all([...publishers.map((one) => one.close()), book.end()]);
  };
  const running = makeRelayOf(
    outbox,
    {
      slices: (shards, around) =>
        groupSlices(shards, (group, leadShard) => (owner) => {
          const own = publishers[group];
          if (own === undefined) throw new Error(`there is no shard group ${group}`);
          return new ExactlyOnceLine(
            { ...around, group, leadShard, book, publisher: own, acceptDuplicates: false },
            owner,
          );
        }),
      close,
    },
    { limits: { batchEventsMax: 200, backoffMaxMs: 500 }, shards: { ...allOfThem, termOf: () => term } },
  );
  running.announcements.subscribe(({ type, ...fields }) => {
    if (type !== "polled") scene.history.note(name, type, fields);
  });
  return running;
}
