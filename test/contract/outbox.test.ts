import { MemoryOutbox } from "../support/memory-outbox.ts";
import { migratedDatabase, openOutbox } from "../support/migrated-database.ts";
import { beginReal } from "../support/real-transaction.ts";
import { describeOutbox } from "./outbox.contract.ts";

for (const announces of [false, true]) {
  describeOutbox(`model${announces ? ", narrow fence" : ""}`, async () => {
    const outbox = new MemoryOutbox();
    outbox.announces = announces;
    return { outbox, announces, begin: async () => outbox.begin(), close: () => outbox.close() };
  });
}

for (const [payloadType, narrowFence] of [
  ["json", false],
  ["jsonb", false],
  ["bytea", false],
  ["json", true],
] as const) {
  describeOutbox(`PostgreSQL, ${payloadType}${narrowFence ? ", narrow fence" : ""}`, async () => {
    const database = await migratedDatabase({ payloadType, narrowFence });
    const outbox = openOutbox(database);
    await outbox.inspect();
    return {
      outbox,
      announces: narrowFence,
      begin: () => beginReal(database.url, payloadType),
      close: async () => {
        await outbox.close();
        await database.drop();
      },
    };
  });
}
