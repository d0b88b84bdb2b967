/** A connection that is in no transaction is refused, and nothing is written. */
import { EntitySchema, MikroORM } from "@mikro-orm/postgresql";
import { sql as drizzleSql } from "drizzle-orm";
import { drizzle as drizzlePg } from "drizzle-orm/node-postgres";
import { drizzle as drizzlePostgresJs } from "drizzle-orm/postgres-js";
import knex from "knex";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import postgres from "postgres";
import { Sequelize } from "sequelize";
import { DataSource } from "typeorm";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
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
  type SequelizeTransaction,
  type Transaction,
} from "../../src/index.ts";
import { type MigratedDatabase, migratedDatabase } from "../support/migrated-database.ts";

const event = { aggregateId: "a", payload: 1 };

describe("without a transaction", () => {
  let database: MigratedDatabase;
  const closers: (() => Promise<unknown>)[] = [];
  const opened = <T>(thing: T, close: (thing: T) => Promise<unknown>): T => {
    closers.push(() => close(thing));
    return thing;
  };
  const openedPool = () => opened(new pg.Pool({ connectionString: database.url }), (pool) => pool.end());

  /** Whether the adapter refuses when it is made or when it is used, enqueue must not get through. */
  async function expectRefused(make: () => Transaction): Promise<void> {
    const attempt = async () => await enqueue(make(), event);
    await expect(attempt()).rejects.toMatchObject({ code: "TRANSACTION_INVALID" });
  }

  beforeAll(async () => {
    database = await migratedDatabase();
  });
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
    const client = new pg.Client(database.url);
    await client.connect();
    const { rows } = await client.query("delete from undispatched_events returning *");
    await client.end();
    expect(rows).toEqual([]);
  });
  afterAll(() => database.drop());

  it("pg: a pool, a client before begin and after commit", async () => {
    const pool = openedPool();
    await expectRefused(() => fromPg(pool as never));
    const client = opened(await pool.connect(), async (one) => one.release());
    await expectRefused(() => fromPg(client));
    await client.query("begin");
    const transaction = fromPg(client);
    await client.query("commit");
    await expectRefused(() => transaction);
  });

  it("pg: a client that cannot tell its state", async () => {
    const client = opened(new pg.Client(database.url), (one) => one.end());
    await client.connect();
    const silent = { query: (sql: string, values: unknown[]) => client.query(sql, values) };
    await expectRefused(() => fromPg(silent));
    await client.query("begin");
    await enqueue(fromPg(silent), event);
    await client.query("rollback");
    await expectRefused(() => fromPg(silent));
  });

  it("Kysely: the instance", async () => {
    const dialect = new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url }) });
    const db = opened(new Kysely<unknown>({ dialect }), (one) => one.destroy());
    await expectRefused(() => fromKysely(db as never));
  });

  it("Kysely: a transaction that has ended, in Kysely's own words", async () => {
    const dialect = new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url }) });
    const db = opened(new Kysely<unknown>({ dialect }), (one) => one.destroy());
    const trx = await db.startTransaction().execute();
    await trx.rollback().execute();
    await expect(enqueue(fromKysely(trx), event)).rejects.toThrow(/already rolled back/);
  });

  it("Drizzle: the database, of both drivers", async () => {
    const onPg = drizzlePg(openedPool());
    await expectRefused(() => fromDrizzle(onPg as never, drizzleSql));
    const onPostgresJs = drizzlePostgresJs(opened(postgres(database.url), (sql) => sql.end()));
    await expectRefused(() => fromDrizzle(onPostgresJs as never, drizzleSql));
  });

  it("Drizzle: a transaction that has ended, of both drivers", async () => {
    const kept: Transaction[] = [];
    await drizzlePg(openedPool()).transaction(async (tx) => kept.push(fromDrizzle(tx, drizzleSql)));
    const onPostgresJs = drizzlePostgresJs(opened(postgres(database.url), (sql) => sql.end()));
    await onPostgresJs.transaction(async (tx) => kept.push(fromDrizzle(tx, drizzleSql)));
    for (const transaction of kept) await expectRefused(() => transaction);
    expect(kept).toHaveLength(2);
  });

  it("Prisma: what has the shape of the client", async () => {
    await expectRefused(() =>
      fromPrisma({ $connect: async () => undefined, $executeRawUnsafe: async () => 1 } as never),
    );
  });

  it("Knex: the instance, and a transaction that has ended", async () => {
    const db = opened(knex({ client: "pg", connection: database.url }), (one) => one.destroy());
    await expectRefused(() => fromKnex(db as never));
    const trx = await db.transaction();
    await trx.commit();
    await expectRefused(() => fromKnex(trx));
  });

  it("TypeORM: the manager of the data source, and a manager whose transaction has ended", async () => {
    const dataSource = opened(new DataSource({ type: "postgres", url: database.url, entities: [] }), (one) =>
      one.destroy(),
    );
    await dataSource.initialize();
    await expectRefused(() => fromTypeOrm(dataSource.manager));
    await expectRefused(() => fromTypeOrm(dataSource as never));
    const kept: Transaction[] = [];
    await dataSource.transaction(async (manager) => kept.push(fromTypeOrm(manager)));
    await Promise.all(kept.map((transaction) => expectRefused(() => transaction)));
  });

  it("Sequelize: no transaction, and one that has ended", async () => {
    const sequelize = opened(new Sequelize(database.url, { dialect: "postgres", logging: false }), (one) =>
      one.close(),
    );
    await expectRefused(() => fromSequelize(sequelize, undefined as unknown as SequelizeTransaction));
    const ended = await sequelize.transaction();
    await ended.rollback();
    await expectRefused(() => fromSequelize(sequelize, ended));
  });

  it("MikroORM: an entity manager outside transactional", async () => {
    const Order = new EntitySchema({ name: "Order", properties: { id: { type: "number", primary: true } } });
    const orm = opened(
      await MikroORM.init({ clientUrl: database.url, entities: [Order], connect: false }),
      (one) => one.close(),
    );
    await expectRefused(() => fromMikroOrm(orm.em.fork()));
  });

  it("postgres.js: sql outside begin, and after its end", async () => {
    const sql = opened(postgres(database.url), (one) => one.end());
    await expectRefused(() => fromPostgresJs(sql as never));
    const kept: Transaction[] = [];
    await sql.begin(async (tx) => kept.push(fromPostgresJs(tx)));
    await Promise.all(kept.map((transaction) => expectRefused(() => transaction)));
  });
});
