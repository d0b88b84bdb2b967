/** Relays that go wrong in what they read, and in what they believe to be theirs. */
import type { OutboxEvent } from "../../src/event/event.ts";
import { beginning, comparePositions, type Position } from "../../src/event/position.ts";
import { allShards } from "../../src/event/shard.ts";
import type { Look, Outbox } from "../../src/outbox/outbox.ts";
import { LeaseTable } from "../support/memory-leases.ts";
import type { ModelDatabase } from "./model-database.ts";
import { leaseTiming, type Mutant, type Parts } from "./relay-under-test.ts";
import { simulatedLeases } from "./simulated-ports.ts";
import type { SimulatedProcess } from "./simulated-process.ts";

const everyShard = new Set(allShards);

/** No leases at all: every relay works on everything. */
const allShardsForEveryone = {
  start: async () => undefined,
  stop: async () => undefined,
  claimable: () => everyShard,
  mayPublish: () => true,
  termOf: () => "1",
  handBackDrained: async () => undefined,
};

/** Every claim is a statement of its own, so that a mutant need change no other. */
const onlyInTwo: Pick<Outbox, "lookAndClaim"> = { lookAndClaim: async () => null };

/** Exchanges what the looks of a relay tell it. */
function tamper(parts: Parts, change: (look: Look) => Look): void {
  const { outbox } = parts;
  parts.outbox = {
    ...outbox,
    look: async () => change(await outbox.look()),
    lookAndClaim: async (request, since) => {
      const both = await outbox.lookAndClaim(request, since);
      return both === null || both === "unchanged" ? both : { ...both, look: change(both.look) };
    },
  };
}

export const noFence: Mutant = {
  name: "no fence",
  fault: "a claim goes up to the clock, as if nobody were writing",
  mutate: (parts) => tamper(parts, (look) => ({ ...look, writers: [] })),
};

export const unreadAnnouncements: Mutant = {
  name: "announcements not read",
  fault: "writers are believed to announce their shards, and what they announce is not read",
  mutate: (parts) =>
    tamper(parts, (look) => ({
      ...look,
      writers: look.writers.map((writer) => ({ ...writer, slots: writer.slots && [] })),
    })),
};

export const clockAfterLocks: Mutant = {
  name: "clock read after the locks",
  fault: "the look reads its clock last, so that a writer can begin before it and not be seen",
  mutate: (parts, { ports }) => tamper(parts, (look) => ({ ...look, clock: ports.database.clock })),
};

export const startOfStatement: Mutant = {
  name: "start of the statement, not of the transaction",
  fault: "a writer's rows are believed to be no older than the statement that it was last seen in",
  mutate: (parts, { ports }) =>
    tamper(parts, (look) => ({
      ...look,
      writers: look.writers.map((writer) => ({
        ...writer,
        startedAt: ports.database.lastStatementOf(writer.id),
      })),
    })),
};

export const startOfAnother: Mutant = {
  name: "start of the transaction after it",
  fault:
    "a transaction is prepared while a look is taken, and what its backend began then counts as its start",
  mutate: (parts) => tamper(parts, (look) => ({ ...look, isTwoPhase: false })),
};

export const oneSnapshot: Mutant = {
  name: "one snapshot for the look and the claim",
  fault: "what is claimed along with a look was read before it: a writer can commit in between",
  mutate(parts) {
    const { outbox } = parts;
    parts.outbox = {
      ...outbox,
      lookAndClaim: async (request, since) => {
        const early = await outbox.lookAndClaim(request, since);
        if (early === null || early === "unchanged") return early;
        return { look: await outbox.look(), claim: early.claim };
      },
    };
  },
};

/** Who holds which row, one table a database. */
const lockedRows = new WeakMap<ModelDatabase, Map<string, SimulatedProcess>>();

export const skipLocked: Mutant = {
  name: "SKIP LOCKED",
  fault: "relays without leases skip the rows that another one has claimed and not yet deleted",
  mutate(parts, { ports: { database, process } }) {
    const { outbox } = parts;
    const locks = lockedRows.get(database) ?? new Map<string, SimulatedProcess>();
    lockedRows.set(database, locks);
    parts.shardsOf = () => allShardsForEveryone;
    parts.outbox = {
      ...outbox,
      ...onlyInTwo,
      claim: async (request) => {
        const claim = await outbox.claim(request);
        const events = claim.events.filter(({ eventId }) => {
          const holder = locks.get(eventId);
          return holder === undefined || holder === process || !holder.isAlive;
        });
        for (const { eventId } of events) locks.set(eventId, process);
        return { ...claim, events };
      },
    };
  },
};

/** Kept beside the outbox, one a database, as long as it lives. */
const persisted = new WeakMap<ModelDatabase, Map<number, Position>>();

export const persistedCursor: Mutant = {
  name: "persisted cursor without a sweep",
  fault: "all relays go on from the last deleted position of a shard, and never look back",
  mutate(parts, { ports: { database } }) {
    const { outbox } = parts;
    const cursors = persisted.get(database) ?? new Map<number, Position>();
    persisted.set(database, cursors);
    const claimed = new Map<string, OutboxEvent>();
    const raise = ({ eventId }: Pick<OutboxEvent, "eventId">) => {
      const { shard, createdAt, seq } = claimed.get(eventId) as OutboxEvent;
      const known = cursors.get(shard) ?? beginning;
      if (comparePositions({ createdAt, seq }, known) > 0) cursors.set(shard, { createdAt, seq });
    };
    parts.outbox = {
      ...outbox,
      ...onlyInTwo,
      claim: async (request) => {
        const ranges = request.ranges.map((range) => {
          const known = cursors.get(range.shard) ?? beginning;
          return comparePositions(range, known) < 0 ? { ...range, ...known } : range;
        });
        const claim = await outbox.claim({ ...request, ranges });
        for (const event of claim.events) claimed.set(event.eventId, event);
        return claim;
      },
      remove: async (acks) => {
        const removed = await outbox.remove(acks);
        acks.forEach(raise);
        return removed;
      },
    };
  },
};

export const ownClock: Mutant = {
  name: "leases judged by the relay's own clock",
  fault: "expiry is written and compared with the clock of the relay that asks",
  mutate(parts, { ports }) {
    const { database, process } = ports;
    const own = new LeaseTable(() => process.clock.wallMs(), leaseTiming.leaseTtlMs);
    // The same rows, seen through another clock.
    for (const [shard, row] of database.leases.rows) own.rows.set(shard, row);
    Object.assign(own, { members: database.leases.members });
    parts.leases = simulatedLeases(ports, own.of(process.name));
  },
};

export const unsettledSweep: Mutant = {
  name: "sweep without settling",
  fault: "a sweep claims from the beginning while a batch is still in flight",
  mutate(parts) {
    const { outbox } = parts;
    let isDue = false;
    parts.sweep = () => {
      isDue = true;
    };
    const claim: Outbox["claim"] = (request) => {
      const ranges = isDue ? request.ranges.map((range) => ({ ...range, ...beginning })) : request.ranges;
      isDue = false;
      return outbox.claim({ ...request, ranges });
    };
    // Without this an idle relay would not notice that there is something to sweep.
    parts.outbox = { ...outbox, ...onlyInTwo, claim, peek: async () => (isDue ? null : outbox.peek()) };
  },
};
