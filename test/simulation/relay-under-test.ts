/**
 * The real core of a relay (loop, leases, fence) in a simulated process, over simulated ports. The one
 * place of the simulation that builds it; a mutant is a change of the parts on their way in.
 */

import type fc from "fast-check";
import type { Leases } from "../../src/lease/lease.ts";
import { LeaseKeeper } from "../../src/lease/lease-keeper.ts";
import type { Outbox } from "../../src/outbox/outbox.ts";
import type { Publisher } from "../../src/publisher/publisher.ts";
import { Announcements, type Listener } from "../../src/relay/announcements.ts";
import type { ShardLeases } from "../../src/relay/owned-shards.ts";
import type { RelayLimits } from "../../src/relay/polling-publisher.ts";
import { Relay } from "../../src/relay/relay.ts";
import { wholeSlice } from "../../src/relay/slices.ts";
import type { Scenario } from "./scenario.ts";
import {
  type OutboxWatch,
  type PortParts,
  simulatedLeases,
  simulatedLedger,
  simulatedOutbox,
} from "./simulated-ports.ts";
import { type PublisherParts, SimulatedPublisher } from "./simulated-publisher.ts";

export interface RelayWorld {
  readonly ports: PortParts;
  readonly publishing: PublisherParts;
  readonly watch: OutboxWatch;
  readonly limits: Partial<RelayLimits>;
}

/** The parts that a mutant may exchange. */
export interface Parts {
  outbox: Outbox;
  publisher: Publisher;
  leases: Leases;
  shardsOf: (keeper: LeaseKeeper) => ShardLeases;
  sweep: (relay: Relay) => void;
}

export interface Mutant {
  readonly name: string;
  /** What it does wrong. */
  readonly fault: string;
  /** Where to look for it; anywhere when it says nothing. */
  readonly scenarios?: fc.Arbitrary<Scenario>;
  /**
   * For the tests, where it takes a rare coincidence: a seed that came to it early when it was written
   * down. Any other finds it, too, and after a change of the relay this one takes as long as any other.
   */
  readonly seed?: number;
  mutate(parts: Parts, world: RelayWorld): void;
}

export const leaseTiming = { leaseTtlMs: 100, leaseRenewMs: 30 } as const;

const limits: RelayLimits = {
  pollMinMs: 1,
  idlePoll: "server" as const,
  pollMaxMs: 16,
  backoffMinMs: 2,
  backoffMaxMs: 20,
  fenceHoldMs: Number.POSITIVE_INFINITY,
  fenceWarnMs: 40,
  blockRetryMinMs: 10,
  blockRetryMaxMs: 40,
  batchEventsMax: 8,
  batchBytesMax: 1_000_000,
  payloadBytesMax: 1_000_000,
  blockedAggregatesMax: 1_000,
  failFast: false,
  rejected: "block",
  attemptsMax: 3,
};

export interface RelayUnderTest {
  readonly relay: Relay;
  readonly keeper: LeaseKeeper;
  sweep(): void;
}

export function makeRelayUnderTest(
  world: RelayWorld,
  listener: Listener,
  onLeases: () => void,
  mutant?: Mutant,
): RelayUnderTest {
  const { process, database } = world.ports;
  const parts: Parts = {
    outbox: simulatedOutbox(world.ports, world.watch),
    publisher: new SimulatedPublisher(world.publishing),
    leases: simulatedLeases(world.ports, database.leases.of(process.name)),
    shardsOf: (keeper) => keeper,
    sweep: (relay) => relay.sweepSoon(),
  };
  mutant?.mutate(parts, world);
  const announcements = new Announcements();
  announcements.subscribe(listener);
  const keeper = new LeaseKeeper(parts.leases, leaseTiming, process.clock, onLeases, () => undefined);
  const shards = parts.shardsOf(keeper);
  const around = { clock: process.clock, random: process.random, announcements };
  const { outbox, publisher } = parts;
  const bounds = { ...limits, ...world.limits };
  const relay = new Relay(
    {
      ...around,
      shards,
      outbox,
      ledger: simulatedLedger(world.ports, world.watch),
      slices: wholeSlice(shards, { ...around, outbox, publisher, bounds }),
      close: () => publisher.close(),
    },
    bounds,
    { topicTemplate: "outbox.event.${aggregate_type}", topicDefault: "outbox.event" },
  );
  return { relay, keeper, sweep: () => parts.sweep(relay) };
}
