import { MemoryOutbox } from "../support/memory-outbox.ts";
import { migratedDatabase, openOutbox } from "../support/migrated-database.ts";
import { beginReal } from "../support/real-transaction.ts";
import { describeOutbox } from "./outbox.contract.ts";

describeOutbox("model", async () => {
  const outbox = new MemoryOutbox();
  return { outbox, begin: async () => outbox.begin(), close: () => outbox.close() };
});

for (const payloadType of ["json", "jsonb", "bytea"] as const) {
  describeOutbox(`PostgreSQL, ${payloadType}`, async () => {
    const database = await migratedDatabase({ payloadType });
    const outbox = openOutbox(database);
    await outbox.inspect();
    return {
      outbox,
      begin: () => beginReal(database.url, payloadType),
      close: async () => {
        await outbox.close();
        await database.drop();
      },
    };
  });
}
