import pg from "pg";
import { PostgresLeases } from "../../src/lease/postgres-leases.ts";
import { LeaseTable } from "../support/memory-leases.ts";
import { migratedDatabase } from "../support/migrated-database.ts";
import { describeLeases } from "./leases.contract.ts";

describeLeases("model", async () => {
  let nowMs = 1_000;
  const table = new LeaseTable(() => nowMs, 10_000);
  return {
    of: (member) => table.of(member),
    expire: async () => {
      nowMs += 10_001;
    },
    close: async () => undefined,
  };
});

describeLeases("PostgreSQL", async () => {
  const database = await migratedDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  return {
    of: (member) => new PostgresLeases(database.config, member, 10_000),
    expire: async () => {
      await client.query(
        "update outrider_shard_leases set expires_at = now() - interval '1 second' where holder is not null",
      );
      await client.query("update outrider_members set expires_at = now() - interval '1 second'");
    },
    close: async () => {
      await client.end();
      await database.drop();
    },
  };
});
