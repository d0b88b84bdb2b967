/**
 * The parts of a benchmark: a PostgreSQL and a Kafka of its own, whatever the environment gives, because
 * their processor time is part of the figures. PostgreSQL keeps every default that touches durability;
 * Kafka gets both compilers and 1 GB, which no server would go without.
 */
import { randomBytes } from "node:crypto";
import { Kafka, logLevel } from "kafkajs";
import type pg from "pg";
import {
  type KafkaPart,
  type PostgresPart,
  startKafka,
  startPostgres,
} from "../../src/environment/environment.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { migrate } from "../../src/outbox/migrator.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { databaseConfig } from "../support/migrated-database.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";
import { compilerMicros, familyProcessorMicros, processorMicros } from "./processor-time.ts";

export interface ServerMicros {
  readonly postgres: number;
  readonly kafka: number;
}

/** Where one run reads and writes; nobody else does. */
export interface Place {
  readonly databaseUrl: string;
  readonly brokers: string;
  readonly topic: string;
}

/** Rows to be published, all alike. */
export interface Backlog {
  readonly events: number;
  readonly aggregates: number;
  readonly payloadBytes: number;
  /** Every second event is of one more aggregate, which has half of all. Default false. */
  readonly isHot?: boolean;
}

export const partitions = 6;

export class Stage {
  readonly postgres: PostgresPart;
  readonly kafka: KafkaPart;
  readonly #brokers: string;

  private constructor(postgres: PostgresPart, kafka: KafkaPart) {
    this.postgres = postgres;
    this.kafka = kafka;
    this.#brokers = kafka.brokers.join(",");
  }

  /** `isWithPeers`: PostgreSQL writes its log so that it can be read by others, which costs everybody a little. */
  static async open(isWithPeers: boolean, onProgress: (text: string) => void): Promise<Stage> {
    const javaFlags = ["-Xms512m", "-Xmx1g", "-XX:TieredStopAtLevel=4"];
    const settings = isWithPeers ? { wal_level: "logical" } : {};
    const starts = await Promise.allSettled([
      startPostgres({ flavour: "embedded", settings, onProgress }),
      startKafka({ flavour: "own", javaFlags, onProgress }),
    ]);
    const [postgres, kafka] = starts;
    if (postgres.status === "fulfilled" && kafka.status === "fulfilled")
      return new Stage(postgres.value, kafka.value);
    for (const start of starts) if (start.status === "fulfilled") await start.value.stop();
    throw postgres.status === "rejected" ? postgres.reason : (kafka as PromiseRejectedResult).reason;
  }

  async close(): Promise<void> {
    await Promise.all([this.kafka.stop(), this.postgres.stop()]);
  }

  /** So far, since the servers were started. */
  processorMicros(): ServerMicros {
    return {
      postgres: familyProcessorMicros(this.postgres.process?.pid ?? -1),
      kafka: processorMicros(this.kafka.processes[0]?.pid ?? -1),
    };
  }

  /** Of the broker's own compilers. */
  compilerMicros(): number {
    return compilerMicros(this.kafka.processes[0]?.pid ?? -1);
  }

  /** Runs one statement as the server's superuser. */
  async ask<Row extends object>(statement: string): Promise<readonly Row[]> {
    const client = await connect(databaseConfig(this.postgres.url, { statementTimeoutMs: 3_600_000 }));
    try {
      return (await client.query<Row>(statement)).rows;
    } finally {
      await client.end();
    }
  }

  /** A database to copy from: migrated, filled, vacuumed. Its copies are alike to the byte. */
  async fill(backlog: Backlog, { narrowFence = false } = {}): Promise<string> {
    const name = databaseName();
    await this.ask(`create database ${name} template template0`);
    const client = await connect(databaseConfig(this.#urlOf(name), { statementTimeoutMs: 3_600_000 }));
    try {
      await migrate(client, { schema: "public", direction: "up", narrowFence });
      await insertBacklog(client, backlog, 1, backlog.events);
      await client.query("vacuum (freeze, analyze)");
    } finally {
      await client.end();
    }
    return name;
  }

  /** A filled database that is not needed any more. */
  async drop(template: string): Promise<void> {
    await this.ask(`drop database ${template} with (force)`);
  }

  /** A copy of a filled database and an empty topic, for the length of `run`. */
  async within<T>(template: string, run: (place: Place) => Promise<T>): Promise<T> {
    const name = databaseName();
    const topic = uniqueTopic("bench");
    await this.ask(`create database ${name} template ${template}`);
    await createTopics(this.#brokers, [{ topic, partitions }]);
    // Whatever copying has left to write, it shall not be written during the run.
    await this.ask("checkpoint");
    try {
      return await run({ databaseUrl: this.#urlOf(name), brokers: this.#brokers, topic });
    } finally {
      await this.ask(`drop database ${name} with (force)`);
      await this.#deleteTopic(topic);
    }
  }

  async #deleteTopic(topic: string): Promise<void> {
    const admin = new Kafka({ brokers: this.#brokers.split(","), logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    try {
      await admin.deleteTopics({ topics: [topic] });
    } finally {
      await admin.disconnect();
    }
  }

  #urlOf(database: string): string {
    const url = new URL(this.postgres.url);
    url.pathname = `/${database}`;
    return url.href;
  }
}

/** Resolves when everything has been carried away. */
export async function emptied(client: pg.Client): Promise<void> {
  while ((await client.query("select from undispatched_events limit 1")).rowCount !== 0)
    await systemClock.sleep(20);
}

/** Each aggregate's events lie spread over the backlog, as many writers would leave them. */
export async function insertBacklog(
  client: pg.Client,
  { aggregates, payloadBytes, isHot = false }: Backlog,
  first: number,
  last: number,
): Promise<void> {
  await client.query(
    `insert into undispatched_events (aggregate_id, event_payload)
     select case when $5 and n % 2 = 0 then 'hot' else 'aggregate-' || n % $3::int end, (rpad('{"n":' || n || ',"pad":"', $4::int - 2, 'x') || '"}')::json
       from generate_series($1::int, $2::int) as n`,
    [first, last, aggregates, payloadBytes, isHot],
  );
}

function databaseName(): string {
  return `bench_${randomBytes(4).toString("hex")}`;
}
