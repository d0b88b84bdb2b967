/**
 * A database of the demo's own, made for one run and dropped after it. On a server that was given to
 * us nothing else is touched. A role that may not create databases gets a schema of its own instead.
 */
import { randomBytes } from "node:crypto";
import type pg from "pg";
import { messageOf, OutriderError } from "../../foundation/errors.ts";
import { migrate } from "../../outbox/migrator.ts";
import { connect, sqlstateOf } from "../../outbox/postgres-connection.ts";
import { databaseConfigOf, type Environment, parseSettings } from "../../service/config.ts";

export interface ScratchDatabase {
  /** The environment that leads a relay, and `connectTo`, to it. */
  readonly environment: Environment;
  readonly schema: string;
  drop(): Promise<void>;
}

const insufficientPrivilege = "42501";

/** A connection as the settings in `environment` describe it. */
export async function connectTo(environment: Environment): Promise<pg.Client> {
  return connect(databaseConfigOf(parseSettings(environment).settings), "outrider demo");
}

/** `environment` must name a server in DATABASE_URL. */
export async function createScratchDatabase(environment: Environment): Promise<ScratchDatabase> {
  const name = `outrider_demo_${randomBytes(5).toString("hex")}`;
  const server = await connectTo(environment);
  try {
    // template0 and "C": UTF-8 whatever the server's own encoding and locale are.
    await server.query(
      `create database ${name} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'`,
    );
  } catch (error) {
    if (sqlstateOf(error) === insufficientPrivilege) return inSchema(environment, name);
    throw new OutriderError("OUTBOX_FAILED", `the demo's database cannot be created: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    await server.end();
  }
  const url = new URL(environment.DATABASE_URL ?? "");
  url.pathname = `/${name}`;
  return {
    environment: { ...environment, DATABASE_URL: url.href, OUTRIDER_SCHEMA: "public" },
    schema: "public",
    drop: () => execute(environment, `drop database if exists ${name} with (force)`),
  };
}

function inSchema(environment: Environment, name: string): ScratchDatabase {
  return {
    environment: { ...environment, OUTRIDER_SCHEMA: name },
    schema: name,
    drop: () => execute(environment, `drop schema if exists ${name} cascade`),
  };
}

async function execute(environment: Environment, statement: string): Promise<void> {
  const client = await connectTo(environment);
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** The outbox, by the migrations that a user runs, and beside it the table that holds the truth. */
export async function prepareTables({ environment, schema }: ScratchDatabase): Promise<void> {
  const client = await connectTo(environment);
  try {
    await migrate(client, { schema });
    await client.query(`create table ${schema}.demo_audit (
      event_id uuid primary key,
      aggregate_id text not null,
      created_at timestamptz not null,
      seq bigint not null,
      payload_md5 text not null
    )`);
  } finally {
    await client.end();
  }
}

/** How many rows one of the demo's tables has. */
export async function countRows(
  { environment, schema }: ScratchDatabase,
  table: "undispatched_events" | "demo_audit",
): Promise<number> {
  const client = await connectTo(environment);
  try {
    const { rows } = await client.query<{ count: string }>(`select count(*) from ${schema}.${table}`);
    return Number(rows[0]?.count);
  } finally {
    await client.end();
  }
}
