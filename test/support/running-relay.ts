/** A relay in this process over any outbox and publisher, and a way to await what it announces. */
import { allShards } from "../../src/event/shard.ts";
import type { Clock } from "../../src/foundation/clock.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import type { RejectionLedger } from "../../src/outbox/dead-letter-channel.ts";
import type { Outbox } from "../../src/outbox/outbox.ts";
import type { Publisher } from "../../src/publisher/publisher.ts";
import { type Announcement, Announcements, type AnnouncementType } from "../../src/relay/announcements.ts";
import { continuously, type Dispatch } from "../../src/relay/dispatch.ts";
import type { LineParts } from "../../src/relay/line.ts";
import type { ShardLeases } from "../../src/relay/owned-shards.ts";
import type { RelayLimits } from "../../src/relay/polling-publisher.ts";
import { Relay, type Slice } from "../../src/relay/relay.ts";
import { wholeSlice } from "../../src/relay/slices.ts";

export const testLimits: RelayLimits = {
  pollMinMs: 1,
  pollMaxMs: 5,
  idlePoll: "server",
  backoffMinMs: 1,
  backoffMaxMs: 20,
  fenceHoldMs: 60_000,
  fenceWarnMs: 5_000,
  rejected: "block",
  attemptsMax: 10,
  blockRetryMinMs: 20,
  blockRetryMaxMs: 200,
  batchEventsMax: 500,
  batchBytesMax: 1_000_000,
  payloadBytesMax: 1_000_000,
  blockedAggregatesMax: 1_000,
  failFast: false,
};

type Said<T extends AnnouncementType> = Extract<Announcement, { type: T }>;

export class Ear {
  readonly heard: Announcement[] = [];
  readonly #announcements: Announcements;

  constructor(announcements: Announcements) {
    this.#announcements = announcements;
    announcements.subscribe((announcement) => {
      if (announcement.type !== "polled") this.heard.push(announcement);
    });
  }

  /** The next announcement of this type (from now on) that the predicate accepts. */
  next<T extends AnnouncementType>(
    type: T,
    accepts: (said: Said<T>) => boolean = () => true,
  ): Promise<Said<T>> {
    return new Promise((resolve) => {
      const end = this.#announcements.subscribe((announcement) => {
        if (announcement.type !== type || !accepts(announcement as Said<T>)) return;
        end();
        resolve(announcement as Said<T>);
      });
    });
  }

  all<T extends AnnouncementType>(type: T): Said<T>[] {
    return this.heard.filter((announcement): announcement is Said<T> => announcement.type === type);
  }

  /** Resolves once the condition holds; it is asked at every announcement. */
  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => {
      const end = this.#announcements.subscribe(() => {
        if (!condition()) return;
        end();
        resolve();
      });
    });
  }
}

export interface RunningRelay {
  readonly relay: Relay;
  readonly ear: Ear;
  readonly announcements: Announcements;
}

export interface RelayChoices {
  readonly limits?: Partial<RelayLimits>;
  readonly clock?: Clock;
  readonly shards?: ShardLeases;
  readonly ledger?: RejectionLedger;
  /** Made over the announcements of this relay. Default: continuous. */
  readonly dispatch?: (announcements: Announcements) => Dispatch;
}

const everyShard = new Set(allShards);

/** A relay that is alone: every shard is its own, for ever. */
export const allOfThem: ShardLeases = {
  start: async () => undefined,
  stop: async () => undefined,
  claimable: () => everyShard,
  mayPublish: () => true,
  termOf: () => "1",
  handBackDrained: async () => undefined,
};

/** For tests in which nothing is given up and nothing has to be remembered. */
const forgetful: RejectionLedger = {
  load: async () => [],
  remember: async () => undefined,
  forget: async () => undefined,
  deadLetter: async () => {
    throw new Error("this relay was given no place for dead letters");
  },
};

/** Not started yet. */
export function makeRelay(outbox: Outbox, publisher: Publisher, choices: RelayChoices = {}): RunningRelay {
  const bounds = { ...testLimits, ...choices.limits };
  const slices = (shards: ShardLeases, around: LineParts) =>
    wholeSlice(shards, { ...around, outbox, publisher, bounds });
  return makeRelayOf(outbox, { slices, close: () => publisher.close() }, choices);
}

/** How a relay publishes, when not like at-least-once. */
export interface Slicing {
  readonly slices: (shards: ShardLeases, around: LineParts) => readonly Slice[];
  readonly close: () => Promise<void>;
}

/** Not started yet. */
export function makeRelayOf(
  outbox: Outbox,
  { slices: slicesOf, close }: Slicing,
  { limits = {}, clock = systemClock, shards = allOfThem, ledger = forgetful, dispatch }: RelayChoices = {},
): RunningRelay {
  const announcements = new Announcements();
  const around = { clock, random: () => 0.5, announcements };
  const makeDispatch = () => dispatch?.(announcements) ?? continuously;
  const parts = {
    ...around,
    ...{ makeDispatch, shards, ledger, outbox, close },
    slices: slicesOf(shards, around),
  };
  const routing = { topicTemplate: "outbox.event.${aggregate_type}", topicDefault: "outbox.event" };
  const relay = new Relay(parts, { ...testLimits, ...limits }, routing);
  return { relay, announcements, ear: new Ear(announcements) };
}
