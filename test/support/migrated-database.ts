/** A fresh database with the outbox in it, and the settings to reach it. */

import type { DatabaseConfig } from "../../src/outbox/database-config.ts";
import { knownMigrations, migrate } from "../../src/outbox/migrator.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { PostgresOutbox } from "../../src/outbox/postgres-outbox.ts";
import type { PayloadType } from "../../src/outbox/statements.ts";
import { freshDatabase } from "./database.ts";

export interface MigratedDatabase {
  readonly url: string;
  readonly config: DatabaseConfig;
  drop(): Promise<void>;
}

export function databaseConfig(url: string, given: Partial<DatabaseConfig> = {}): DatabaseConfig {
  return {
    url,
    schema: "public",
    sslmode: "disable",
    ca: undefined,
    cert: undefined,
    key: undefined,
    connectTimeoutMs: 10_000,
    statementTimeoutMs: 20_000,
    ...given,
  };
}

export async function migratedDatabase({
  payloadType = "json",
  narrowFence = false,
}: {
  payloadType?: PayloadType;
  narrowFence?: boolean;
} = {}): Promise<MigratedDatabase> {
  const database = await freshDatabase();
  const config = databaseConfig(database.url);
  const client = await connect(config);
  try {
    await migrate(client, { schema: config.schema, direction: "up", payloadType, narrowFence });
  } finally {
    await client.end();
  }
  return { url: database.url, config, drop: database.drop };
}

export function openOutbox({ config }: Pick<MigratedDatabase, "config">): PostgresOutbox {
  return new PostgresOutbox(
    config,
    knownMigrations().map(({ name }) => name),
  );
}
