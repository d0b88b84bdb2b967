/** The models that the simulation runs on, held to the same contracts as PostgreSQL itself. */
import { describeLeases } from "../contract/leases.contract.ts";
import { describeOutbox } from "../contract/outbox.contract.ts";
import { ModelDatabase } from "./model-database.ts";
import { type PortParts, simulatedLeases, simulatedOutbox } from "./simulated-ports.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import { VirtualTime } from "./virtual-time.ts";

const nobodyWatches = { removed: () => undefined, buried: () => undefined, claimed: () => undefined };
const ttlMs = 10_000;

/** A simulated process whose time runs by itself, as fast as it can. */
function world(announces = false): {
  readonly of: (name: string) => PortParts;
  readonly time: VirtualTime;
  close(): void;
} {
  const time = new VirtualTime();
  const database = new ModelDatabase(() => time.nowUs, ttlMs, { announces, isTwoPhase: false });
  let isOpen = true;
  const beat = () => {
    time.touch();
    time.after(1_000, beat);
  };
  beat();
  void time.runUntil(() => !isOpen, Number.POSITIVE_INFINITY);
  return {
    time,
    of: (name) => ({
      time,
      database,
      process: new SimulatedProcess(name, time, 1, { rate: 1, wallOffsetMs: 0 }, 100),
      fateOf: () => ({ kind: "answered" }),
    }),
    close: () => {
      isOpen = false;
    },
  };
}

for (const announces of [false, true])
  describeOutbox(`the simulation's model${announces ? ", narrow fence" : ""}`, async () => {
    const { of, close } = world(announces);
    const parts = of("relay");
    return {
      outbox: simulatedOutbox(parts, nobodyWatches),
      announces,
      begin: async () => {
        const { database } = parts;
        const writer = database.begin();
        return {
          insert: async (row) => {
            // No two readings of a real clock are equal here, and the contract takes that for granted.
            await new Promise<void>((resolve) => {
              parts.time.after(1, resolve);
            });
            return database.insert(writer, row).event.eventId;
          },
          commit: async () => database.commit(writer),
          rollback: async () => database.rollback(writer),
        };
      },
      close: async () => close(),
    };
  });

describeLeases("the simulation's model", async () => {
  const { of, close, time } = world();
  return {
    of: (member) => {
      const parts = of(member);
      return simulatedLeases(parts, parts.database.leases.of(member));
    },
    expire: () =>
      new Promise((resolve) => {
        time.after(ttlMs * 1_000 + 1, resolve);
      }),
    close: async () => close(),
  };
});
