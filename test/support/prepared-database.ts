/** A database of a run's own with the outbox in it and whatever tables the run keeps beside it. */
import { migrate } from "../../src/outbox/migrator.ts";
import { connect } from "../../src/outbox/postgres-connection.ts";
import { type FreshDatabase, freshDatabase } from "./database.ts";
import { databaseConfig } from "./migrated-database.ts";

export async function preparedDatabase(
  serverUrl: string,
  statements: readonly string[],
): Promise<FreshDatabase> {
  const database = await freshDatabase(serverUrl);
  const client = await connect(databaseConfig(database.url));
  try {
    await migrate(client, { schema: "public", direction: "up", payloadType: "json" });
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
  return database;
}
