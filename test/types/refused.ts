/**
 * What must not compile. Never run: the compiler reports every `@ts-expect-error` under which there
 * is no error, so a type that loses its strength turns `refused.test.ts` and `npm run typecheck` red.
 */
import type { EntityManager as MikroOrmEntityManager } from "@mikro-orm/postgresql";
import { sql as drizzleSql } from "drizzle-orm";
import type { NodePgDatabase } from "drizzle-orm/node-postgres";
import type { PostgresJsDatabase } from "drizzle-orm/postgres-js";
import type { Knex } from "knex";
import type { Kysely, Transaction as KyselyTransaction } from "kysely";
import type pg from "pg";
import type postgres from "postgres";
import type { Sequelize, Transaction as SequelizeTransaction } from "sequelize";
import type { DataSource } from "typeorm";
import type { Report } from "../../src/event/delivery.ts";
import type { OutboxEvent } from "../../src/event/event.ts";
import {
  enqueue,
  fromDrizzle,
  fromKnex,
  fromKysely,
  fromMikroOrm,
  fromPg,
  fromPostgresJs,
  fromPrisma,
  fromSequelize,
  fromTypeOrm,
  inbox,
  type NewEvent,
} from "../../src/index.ts";
import type { Claim, Outbox } from "../../src/outbox/outbox.ts";

export interface Connections {
  readonly pool: pg.Pool;
  readonly client: pg.PoolClient;
  readonly kysely: Kysely<unknown>;
  readonly kyselyTrx: KyselyTransaction<unknown>;
  readonly drizzlePg: NodePgDatabase;
  readonly drizzlePostgresJs: PostgresJsDatabase;
  readonly knex: Knex;
  readonly knexTrx: Knex.Transaction;
  readonly dataSource: DataSource;
  readonly sequelize: Sequelize;
  readonly sequelizeTransaction: SequelizeTransaction;
  readonly mikroOrm: MikroOrmEntityManager;
  readonly sql: postgres.Sql;
  readonly prisma: {
    $connect(): Promise<void>;
    $executeRawUnsafe(sql: string, ...values: unknown[]): Promise<number>;
  };
}

export async function whatIsNoTransaction(given: Connections): Promise<void> {
  // @ts-expect-error a Pool
  fromPg(given.pool);
  // @ts-expect-error a Kysely that is no transaction
  fromKysely(given.kysely);
  // @ts-expect-error a database of Drizzle on node-postgres
  fromDrizzle(given.drizzlePg, drizzleSql);
  // @ts-expect-error a database of Drizzle on postgres.js
  fromDrizzle(given.drizzlePostgresJs, drizzleSql);
  // @ts-expect-error Prisma's client
  fromPrisma(given.prisma);
  // @ts-expect-error a Knex that is no transaction
  fromKnex(given.knex);
  // @ts-expect-error a DataSource
  fromTypeOrm(given.dataSource);
  // @ts-expect-error no transaction
  fromSequelize(given.sequelize, undefined);
  // @ts-expect-error the instance twice
  fromSequelize(given.sequelize, given.sequelize);
  // @ts-expect-error sql outside begin
  fromPostgresJs(given.sql);
  const event: NewEvent = { aggregateId: "a", payload: 1 };
  // @ts-expect-error a Pool, without any adapter
  await enqueue(given.pool, event);
  // @ts-expect-error a client, without its adapter
  await enqueue(given.client, event);
  // @ts-expect-error a Kysely transaction, without its adapter
  await enqueue(given.kyselyTrx, event);
  // @ts-expect-error a Knex transaction, without its adapter
  await enqueue(given.knexTrx, event);
  const work = async () => 1;
  // @ts-expect-error a client, without its adapter
  await inbox.once(given.client, "billing", "id", work);
  // @ts-expect-error what can only execute cannot say whether the event is new
  await inbox.once({ execute: async () => undefined }, "billing", "id", work);
  const outcome = await inbox.once(fromPg(given.client), "billing", "id", work);
  // @ts-expect-error there is no result when the event was processed before
  outcome.result;
  // These compile, or the refusals above would prove nothing.
  const result: number | undefined = outcome.isFirst ? outcome.result : undefined;
  await inbox.once(fromKysely(given.kyselyTrx), "billing", Buffer.from("id"), async () => result);
  await enqueue(fromPg(given.client), [event]);
  await enqueue(fromKysely(given.kyselyTrx), event);
  await enqueue(fromKnex(given.knexTrx), event);
  await enqueue(fromSequelize(given.sequelize, given.sequelizeTransaction), event);
  await enqueue(fromMikroOrm(given.mikroOrm), event);
  await given.drizzlePg.transaction((tx) => enqueue(fromDrizzle(tx, drizzleSql), event));
  await given.sql.begin((sql) => enqueue(fromPostgresJs(sql), event));
  await given.dataSource.transaction((manager) => enqueue(fromTypeOrm(manager), event));
}

export function whatIsNoEvent(): NewEvent[] {
  return [
    // @ts-expect-error no aggregate
    { payload: 1 },
    // @ts-expect-error no payload
    { aggregateId: "a" },
    // @ts-expect-error a number for an id
    { aggregateId: 7, payload: 1 },
    // @ts-expect-error a header that is no string
    { aggregateId: "a", payload: 1, headers: { retries: 1 } },
    // @ts-expect-error a field that does not exist
    { aggregateId: "a", payload: 1, type: "OrderPlaced" },
  ];
}

export async function whatNobodyAcknowledged(
  outbox: Outbox,
  event: OutboxEvent,
  claim: Claim,
  report: Report,
): Promise<void> {
  // @ts-expect-error an event
  await outbox.remove([event]);
  // @ts-expect-error a copy of an event
  await outbox.remove([{ ...event }]);
  // @ts-expect-error an event with a mark of one's own
  await outbox.remove([{ ...event, acked: true }]);
  // @ts-expect-error everything that was claimed
  await outbox.remove(claim.events);
  // @ts-expect-error what may or may not have arrived
  await outbox.remove(report.unknowns);
  // @ts-expect-error what was not tried
  await outbox.remove(report.held);
  // @ts-expect-error what was rejected
  await outbox.remove(report.rejections);
  await outbox.remove(report.acks);
}
