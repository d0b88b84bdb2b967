/**
 * The caller's own transaction, as a port: one method that runs one statement, and a second one that
 * hands its rows back. The adapters know the nine common libraries by the shape of their objects and
 * import none of them.
 *
 * The statement a port is given has the placeholders `$1..$n`, each used once and in order, so that
 * for libraries that write `?` one replacement is enough; and it casts every parameter from text
 * (`$1::text::uuid`). Without that cast some drivers look at the column and encode once more: JSON
 * text bound to a jsonb column by postgres.js is stored as a JSON *string*, and nothing complains.
 *
 * What is no open transaction is refused (TRANSACTION_INVALID) wherever its shape or state tells,
 * when the adapter is made or when it is used: a row written beside the transaction would announce
 * what may still be rolled back. Errors of the database pass through as the library threw them.
 */
import { type AnsweringTransaction, answering } from "./transaction-answer.ts";
import { prove, refuse, whileOpen } from "./transaction-proof.ts";

export type { AnsweringTransaction } from "./transaction-answer.ts";

export interface Transaction {
  execute(sql: string, texts: readonly (string | null)[]): Promise<unknown>;
}

type Texts = (string | null)[];

/** `pg`: a Client, or a PoolClient from `pool.connect()`, between `begin` and `commit`. */
export interface PgClient {
  query(sql: string, values: Texts): PromiseLike<unknown>;
  /** "I" is idle: not in a transaction. Older clients cannot tell. */
  getTransactionStatus?(): string | null;
  /** Only a Pool has it, and a Pool may run each statement on another connection. */
  readonly totalCount?: never;
}

export function fromPg(client: PgClient): AnsweringTransaction {
  if ("totalCount" in client || "idleCount" in client) {
    refuse("fromPg was given a Pool", "take a client with pool.connect(), run begin, and pass the client");
  }
  return answering(async (sql, texts) => {
    if (client.getTransactionStatus === undefined) {
      await prove((proof) => client.query(proof, []));
    } else if (client.getTransactionStatus() === "I") {
      refuse("the pg client is not in a transaction", 'await client.query("begin") first');
    }
    return await client.query(sql, [...texts]);
  });
}

/** Kysely 0.28 or 0.29: the `trx` of `db.transaction().execute(...)` or a controlled transaction. */
export interface KyselyTransaction {
  readonly isTransaction: true;
  executeQuery(query: KyselyQuery): Promise<unknown>;
}

/** What `CompiledQuery.raw` makes. */
interface KyselyQuery {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  readonly query: { kind: "RawNode"; sqlFragments: readonly string[]; parameters: readonly never[] };
  readonly queryId: { readonly queryId: string };
}

export function fromKysely(trx: KyselyTransaction): AnsweringTransaction {
  if (trx.isTransaction !== true) {
    refuse(
      "fromKysely was given a Kysely that is no transaction",
      "pass the trx of db.transaction().execute",
    );
  }
  return answering(async (sql, texts) => {
    return await trx.executeQuery({
      sql,
      parameters: texts,
      query: { kind: "RawNode", sqlFragments: [sql], parameters: [] },
      queryId: { queryId: "outrider" },
    });
  });
}

/** Drizzle on node-postgres, postgres.js or another PostgreSQL driver: the `tx` of `db.transaction(...)`. */
export interface DrizzleTransaction<Query> {
  execute(query: Query): PromiseLike<unknown>;
  /** Only a transaction has it. */
  rollback(): never;
}

/** Drizzle's own `sql`, handed in because only it can make a query with parameters. */
export interface DrizzleSql<Query> {
  (strings: TemplateStringsArray, ...values: unknown[]): Query;
  param(value: unknown): unknown;
  raw(text: string): Query;
}

export function fromDrizzle<Query>(
  tx: DrizzleTransaction<Query>,
  sql: DrizzleSql<Query>,
): AnsweringTransaction {
  if (typeof tx.rollback !== "function") {
    refuse("fromDrizzle was given a database, not a transaction", "pass the tx of db.transaction");
  }
  return answering(async (text, texts) => {
    const pieces = text.split(placeholder);
    const strings = Object.assign(pieces, { raw: pieces });
    await prove((proof) => tx.execute(sql.raw(proof)));
    return await tx.execute(sql(strings, ...texts.map((value) => sql.param(value))));
  });
}

/** Prisma: the `tx` of an interactive `prisma.$transaction(async (tx) => ...)`. */
export interface PrismaTransaction {
  $executeRawUnsafe(sql: string, ...values: Texts): PromiseLike<unknown>;
  /** The other one answers with a number alone. */
  $queryRawUnsafe(sql: string, ...values: Texts): PromiseLike<unknown>;
  /** Only the client itself has it. */
  readonly $connect?: never;
}

export function fromPrisma(tx: PrismaTransaction): AnsweringTransaction {
  if (typeof tx.$connect === "function") {
    refuse(
      "fromPrisma was given the client, not a transaction",
      "pass the tx of prisma.$transaction(async (tx) => …)",
    );
  }
  return answering(
    async (sql, texts) => await tx.$executeRawUnsafe(sql, ...texts),
    async (sql, texts) => await tx.$queryRawUnsafe(sql, ...texts),
  );
}

/** Knex: the `trx` of `knex.transaction(...)`. */
export interface KnexTransaction {
  raw(sql: string, bindings: Texts): PromiseLike<unknown>;
  readonly isTransaction?: boolean;
  /** Only a transaction has it. */
  isCompleted(): boolean;
}

export function fromKnex(trx: KnexTransaction): AnsweringTransaction {
  if (trx.isTransaction !== true) {
    refuse("fromKnex was given a Knex that is no transaction", "pass the trx of knex.transaction");
  }
  return answering(async (sql, texts) => {
    if (trx.isCompleted()) refuse("the Knex transaction has ended", whileOpen);
    return await trx.raw(withQuestionMarks(sql), [...texts]);
  });
}

/** TypeORM: the `manager` of `dataSource.transaction(...)`, or `queryRunner.manager` after `startTransaction`. */
export interface TypeOrmManager {
  query(sql: string, parameters: Texts): Promise<unknown>;
  readonly queryRunner?: { readonly isTransactionActive: boolean };
  /** Only a DataSource has it. */
  readonly createQueryRunner?: never;
}

export function fromTypeOrm(manager: TypeOrmManager): AnsweringTransaction {
  return answering(async (sql, texts) => {
    if (manager.queryRunner?.isTransactionActive !== true) {
      refuse("the TypeORM manager is not in a transaction", "pass the manager of dataSource.transaction");
    }
    return await manager.query(sql, [...texts]);
  });
}

/** Sequelize 6: the instance, and the `t` of `sequelize.transaction(async (t) => ...)`. */
export interface SequelizeConnection {
  // `never` stands for Sequelize's own Transaction type, which cannot be named without importing it.
  query(sql: string, options: { bind: Texts; transaction: never }): Promise<unknown>;
}

/** Told from other objects by its `rollback`; `finished` appears when it has ended. */
export interface SequelizeTransaction {
  rollback(): Promise<void>;
}

export function fromSequelize(
  sequelize: SequelizeConnection,
  transaction: SequelizeTransaction,
): AnsweringTransaction {
  // Without this, Sequelize takes any connection of its pool and commits at once.
  if (typeof transaction?.rollback !== "function") {
    refuse("fromSequelize was given no transaction", "pass the t of sequelize.transaction(async (t) => …)");
  }
  const run = async (sql: string, texts: readonly (string | null)[]) => {
    if ("finished" in transaction && transaction.finished !== undefined) {
      refuse("the Sequelize transaction has ended", whileOpen);
    }
    return await sequelize.query(sql, { bind: [...texts], transaction: transaction as never });
  };
  return answering(run, async (sql, texts) => {
    const answer = await run(sql, texts);
    return Array.isArray(answer) ? answer[0] : answer;
  });
}

/** MikroORM 6: the `em` of `em.transactional(...)`. For MikroORM 7: `fromKysely(em.getKysely())`. */
export interface MikroOrmManager {
  isInTransaction(): boolean;
  execute(sql: string, parameters: Texts, method: "run"): Promise<unknown>;
}

export function fromMikroOrm(em: MikroOrmManager): AnsweringTransaction {
  return answering(async (sql, texts) => {
    if (!em.isInTransaction()) {
      refuse("the MikroORM entity manager is not in a transaction", "pass the em of em.transactional");
    }
    return await em.execute(withQuestionMarks(sql), [...texts], "run");
  });
}

/** postgres.js: the `sql` that `sql.begin(async (sql) => ...)` hands to its callback. */
export interface PostgresJsTransaction {
  unsafe(text: string, parameters: Texts): PromiseLike<unknown>;
  /** Only a transaction has it. */
  savepoint(name: string, callback: never): Promise<unknown>;
}

export function fromPostgresJs(sql: PostgresJsTransaction): AnsweringTransaction {
  if (typeof sql.savepoint !== "function") {
    refuse(
      "fromPostgresJs was given sql outside a transaction",
      "pass the sql that sql.begin hands to its callback",
    );
  }
  return answering(async (text, texts) => {
    await prove((proof) => sql.unsafe(proof, []));
    return await sql.unsafe(text, [...texts]);
  });
}

const placeholder = /\$\d+/g;

function withQuestionMarks(sql: string): string {
  return sql.replaceAll(placeholder, "?");
}
