/** The relay's ports on PostgreSQL over the model: each call is a request with a fate of its own. */
import type { Ack } from "../../src/event/delivery.ts";
import { OutriderError } from "../../src/foundation/errors.ts";
import type { Leases } from "../../src/lease/lease.ts";
import type { RejectionLedger } from "../../src/outbox/dead-letter-channel.ts";
import type { ClaimRange, Look, LookAndClaim, Outbox } from "../../src/outbox/outbox.ts";
import type { ModelDatabase, Row } from "./model-database.ts";
import type { Fate, SimulatedProcess } from "./simulated-process.ts";
import type { VirtualTime } from "./virtual-time.ts";

export type StatementKind = "read" | "remove" | "lease";

/** Asked when a statement arrives. */
export type StatementFate = (kind: StatementKind) => Fate;

/** What the simulation wants to know of an outbox at the moment it happens. */
export interface OutboxWatch {
  removed(rows: readonly Row[], by: string): void;
  buried(rows: readonly Row[], by: string): void;
  claimed(ranges: readonly ClaimRange[], by: string): void;
}

export interface PortParts {
  readonly time: VirtualTime;
  readonly process: SimulatedProcess;
  readonly database: ModelDatabase;
  readonly fateOf: StatementFate;
}

type Statement = <T>(kind: StatementKind, carryOut: (reply: (value: T) => void) => void) => Promise<T>;

function statementsOf({ process, database, fateOf }: PortParts): Statement {
  return async (kind, carryOut) => {
    const outcome = await process.request(carryOut, () =>
      database.isAway ? { kind: "lost" } : fateOf(kind),
    );
    if (outcome.isAnswered) return outcome.value;
    throw new OutriderError("OUTBOX_UNAVAILABLE", "PostgreSQL is not available: no answer", {
      retriable: true,
    });
  };
}

export function simulatedOutbox(parts: PortParts, watch: OutboxWatch): Outbox {
  const { database, time, process } = parts;
  const statement = statementsOf(parts);
  const remove = (acks: readonly Ack[]): number => {
    const rows = database.remove(new Set(acks.map(({ eventId }) => eventId)));
    watch.removed(rows, process.name);
    return rows.length;
  };
  /** The clock is read first, then the locks, then the starts: transactions begin and end in between. */
  const look = (reply: (look: Look) => void): void => {
    const { clock, mark } = database;
    time.after(process.latencyUs() / 4, () => {
      const { writers, isTwoPhase } = database;
      time.after(process.latencyUs() / 4, () =>
        reply({ clock, writers: database.started(writers), isTwoPhase, mark }),
      );
    });
  };
  return {
    inspect: () => statement("read", (reply) => reply([])),
    peek: () => statement("read", (reply) => reply(database.mark)),
    awaitChange: (mark, everyMs, forMs) =>
      statement("read", (reply) => {
        const endUs = time.nowUs + forMs * 1_000;
        const check = () => {
          if (database.mark !== mark || time.nowUs >= endUs) reply(database.mark);
          else time.after(everyMs * 1_000, check);
        };
        check();
      }),
    look: () => statement("read", look),
    describeWriters: (pids) => statement("read", (reply) => reply(database.describe(pids))),
    claim: (request) =>
      statement("read", (reply) => {
        watch.claimed(request.ranges, process.name);
        reply(database.claim(request));
      }),
    lookAndClaim: async (request, since) => {
      if (request.blocked.length > 0) return null;
      return statement<LookAndClaim | "unchanged">("read", (reply) => {
        if (database.mark === since) return reply("unchanged");
        look((looked) =>
          time.after(process.latencyUs() / 4, () => reply({ look: looked, claim: database.claim(request) })),
        );
      });
    },
    claimHead: (shard, aggregateId, from, limits) =>
      statement("read", (reply) => reply(database.claimHead(shard, aggregateId, from, limits))),
    search: (request) => statement("read", (reply) => reply(database.search(request))),
    remove: (acks) => statement("remove", (reply) => reply(remove(acks))),
    backlog: (countMax) => statement("read", (reply) => reply(database.backlog(countMax))),
    close: async () => undefined,
  };
}

export function simulatedLeases(parts: PortParts, table: Leases): Leases {
  const statement = statementsOf(parts);
  // The model answers at once; that it is a promise is the port's doing, and takes no virtual time.
  const lease = <T>(call: () => Promise<T>): Promise<T> =>
    statement<T>("lease", (reply) => {
      void call().then(reply);
      parts.time.touch();
    });
  return {
    renew: (held) => lease(() => table.renew(held)),
    acquire: (count, unitShards) => lease(() => table.acquire(count, unitShards)),
    handBack: (terms) => lease(() => table.handBack(terms)),
    leave: (terms) => lease(() => table.leave(terms)),
    close: async () => undefined,
  };
}

export function simulatedLedger(parts: PortParts, watch: OutboxWatch): RejectionLedger {
  const { database, process } = parts;
  const statement = statementsOf(parts);
  const bury = (eventIds: readonly string[]): string[] => {
    const rows = database.remove(new Set(eventIds));
    watch.buried(rows, process.name);
    return rows.map(({ event }) => event.eventId);
  };
  return {
    load: (shards) => statement("read", (reply) => reply(database.loadBlocks(shards))),
    remember: (blocks) => statement<void>("read", (reply) => reply(database.rememberBlocks(blocks))),
    forget: (eventIds) =>
      statement<void>("read", (reply) => {
        for (const eventId of eventIds) database.blocks.delete(eventId);
        reply();
      }),
    deadLetter: (refusals) =>
      statement("remove", (reply) => reply(bury(refusals.map(({ eventId }) => eventId)))),
  };
}
