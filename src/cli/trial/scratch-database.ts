/**
 * A database of a trial's own, made for one run and dropped after it. On a server that was given to
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
  return connect(databaseConfigOf(parseSettings(environment).settings), "outrider trial");
}

/** `environment` must name a server in DATABASE_URL. `purpose` stands in the name of what is made. */
export async function createScratchDatabase(
  environment: Environment,
  purpose: "demo" | "bench",
): Promise<ScratchDatabase> {
  const name = `outrider_${purpose}_${randomBytes(5).toString("hex")}`;
  const server = await connectTo(environment);
  try {
    // template0 and "C": UTF-8 whatever the server's own encoding and locale are.
    await server.query(
      `create database ${name} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'`,
    );
  } catch (error) {
    if (sqlstateOf(error) === insufficientPrivilege) return inSchema(environment, name);
    throw new OutriderError(
      "OUTBOX_FAILED",
      `a database for this trial cannot be created: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
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

/** The outbox, by the migrations that a user runs. `work` may add what it needs. */
export async function prepareOutbox(
  { environment, schema }: ScratchDatabase,
  work: (client: pg.Client) => Promise<unknown> = async () => undefined,
): Promise<void> {
  const client = await connectTo(environment);
  try {
    await migrate(client, { schema });
    await work(client);
  } finally {
    await client.end();
  }
}
