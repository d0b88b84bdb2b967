/**
 * The libraries an application may hold its transaction with, each as one function: open, begin,
 * hand the transaction out, commit, or roll back when the work throws; then close.
 */
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
import {
  type AnsweringTransaction,
  fromDrizzle,
  fromKnex,
  fromKysely,
  fromMikroOrm,
  fromPg,
  fromPostgresJs,
  fromPrisma,
  fromSequelize,
  fromTypeOrm,
} from "../../src/index.ts";

type Work = (transaction: AnsweringTransaction) => Promise<unknown>;

/** Runs the work in one transaction of the library on a connection of its own. */
export type Library = (url: string, work: Work) => Promise<void>;

/** MikroORM refuses to start without an entity. */
const Order = new EntitySchema({ name: "Order", properties: { id: { type: "number", primary: true } } });

export const libraries: Readonly<Record<string, Library>> = {
  async pg(url, work) {
    const pool = new pg.Pool({ connectionString: url });
    const client = await pool.connect();
    await client.query("begin");
    try {
      await work(fromPg(client));
      await client.query("commit");
    } catch (thrown) {
      await client.query("rollback");
      throw thrown;
    } finally {
      client.release();
      await pool.end();
    }
  },

  async Kysely(url, work) {
    const db = new Kysely<unknown>({
      dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url }) }),
    });
    await db
      .transaction()
      .execute(async (trx) => await work(fromKysely(trx)))
      .finally(() => db.destroy());
  },

  async "Drizzle on node-postgres"(url, work) {
    const pool = new pg.Pool({ connectionString: url });
    await drizzlePg(pool)
      .transaction(async (tx) => await work(fromDrizzle(tx, drizzleSql)))
      .finally(() => pool.end());
  },

  async "Drizzle on postgres.js"(url, work) {
    const client = postgres(url);
    await drizzlePostgresJs(client)
      .transaction(async (tx) => await work(fromDrizzle(tx, drizzleSql)))
      .finally(() => client.end());
  },

  async Knex(url, work) {
    const db = knex({ client: "pg", connection: url });
    await db.transaction(async (trx) => await work(fromKnex(trx))).finally(() => db.destroy());
  },

  async TypeORM(url, work) {
    const dataSource = new DataSource({ type: "postgres", url, entities: [] });
    await dataSource.initialize();
    await dataSource
      .transaction(async (manager) => await work(fromTypeOrm(manager)))
      .finally(() => dataSource.destroy());
  },

  async Sequelize(url, work) {
    const sequelize = new Sequelize(url, { dialect: "postgres", logging: false });
    await sequelize
      .transaction(async (transaction) => await work(fromSequelize(sequelize, transaction)))
      .finally(() => sequelize.close());
  },

  async MikroORM(url, work) {
    const orm = await MikroORM.init({ clientUrl: url, entities: [Order], connect: false });
    await orm.em
      .fork()
      .transactional(async (em) => await work(fromMikroOrm(em)))
      .finally(() => orm.close());
  },

  /** Prisma's generated client needs an engine from outside a registry; its methods are one line over pg each. */
  async "the shape of Prisma"(url, work) {
    const client = new pg.Client(url);
    await client.connect();
    await client.query("begin");
    try {
      await work(
        fromPrisma({
          $executeRawUnsafe: async (sql, ...values) => (await client.query(sql, values)).rowCount,
          $queryRawUnsafe: async (sql, ...values) => (await client.query(sql, values)).rows,
        }),
      );
      await client.query("commit");
    } finally {
      // Ending the connection rolls back what was not committed.
      await client.end();
    }
  },

  async "postgres.js"(url, work) {
    const sql = postgres(url);
    await sql.begin(async (tx) => await work(fromPostgresJs(tx))).finally(() => sql.end());
  },
};
