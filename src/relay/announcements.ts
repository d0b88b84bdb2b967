/**
 * All that the relay says aloud. Log, metrics and traces listen here, and tests wait here instead of
 * sleeping; the relay knows none of its listeners. Nothing here ever carries a payload.
 */
import type { RejectionReason } from "../event/delivery.ts";
import type { Term } from "../lease/lease.ts";
import type { LeaseChange } from "../lease/lease-keeper.ts";
import type { PublishedBatch } from "./published-batch.ts";

export type Announcement =
  /** The table is fit, the broker is there, the first claim is about to be made. */
  | { readonly type: "relay-started" }
  /** Asked to stop: nothing more is claimed, what is in flight is finished. */
  | { readonly type: "relay-stopping" }
  /** Nothing of the relay runs any more. */
  | { readonly type: "relay-stopped"; readonly publishedTotal: number; readonly removedTotal: number }
  /**
   * One look and one claim. `fenceLagMs`: how far the fence stands behind the database's clock, which read
   * `databaseClockMs` (milliseconds since 1970) at the look.
   */
  | {
      readonly type: "polled";
      readonly events: number;
      readonly bytes: number;
      readonly fenceLagMs: number;
      readonly databaseClockMs: number;
      readonly durationMs: number;
    }
  /**
   * One attempt to publish: `events` were acked, and `resent` of them had been tried before with an unknown
   * outcome, so that they may be there twice.
   */
  | {
      readonly type: "batch-published";
      readonly events: number;
      readonly rejected: number;
      readonly unknown: number;
      readonly resent: number;
      readonly durationMs: number;
      /** For counting and tracing; empty once every listener has been told. */
      readonly batch: PublishedBatch;
    }
  /** `events` rows were deleted; `gone` of those acked were no longer there. */
  | {
      readonly type: "batch-removed";
      readonly events: number;
      readonly gone: number;
      readonly durationMs: number;
    }
  /** A batch that the relay before us had left open: was it committed, or not. Exactly-once only. */
  | {
      readonly type: "batch-resolved";
      readonly group: number;
      readonly number: number;
      readonly events: number;
      readonly isCommitted: boolean;
    }
  /** Deleted before it was published, and nobody can tell whether it was. At-most-once only. */
  | { readonly type: "batch-in-doubt"; readonly group: number; readonly eventIds: readonly string[] }
  /** Not published for certain (rejected), or perhaps not (unknown), and not tried again. At-most-once only. */
  | {
      readonly type: "events-dropped";
      readonly rejected: number;
      readonly unknown: number;
      readonly eventIds: readonly string[];
      readonly message: string;
    }
  /** PostgreSQL went away; said once, then silence until it is back. */
  | { readonly type: "outbox-lost"; readonly message: string }
  /** PostgreSQL answers again. */
  | { readonly type: "outbox-back"; readonly outageMs: number }
  /** Kafka went away or left an outcome unknown; said once, then silence until it is back. */
  | { readonly type: "broker-lost"; readonly message: string }
  /** Kafka answers again. */
  | { readonly type: "broker-back"; readonly outageMs: number }
  /** Shards came or went. `taken`, `lost` and `handedBack` name shards with their terms, as shard:term. */
  | {
      readonly type: "leases-changed";
      readonly held: number;
      readonly members: number;
      readonly taken: readonly string[];
      readonly lost: readonly string[];
      readonly handedBack: readonly string[];
    }
  /** A round with the lease table failed; the leases it would have renewed are trusted until their window ends. */
  | { readonly type: "lease-round-failed"; readonly message: string }
  /** An event was rejected: its aggregate waits, every other one flows. */
  | {
      readonly type: "aggregate-blocked";
      readonly aggregateId: string;
      readonly eventId: string;
      readonly reason: RejectionReason;
      readonly message: string;
      readonly attempts: number;
      readonly retryInMs: number;
    }
  /** A blocked aggregate flows again: its event was accepted, was given up, or is gone. */
  | { readonly type: "aggregate-unblocked"; readonly aggregateId: string; readonly attempts: number }
  /** An event was given up and moved to the dead letters; its aggregate goes on without it. */
  | {
      readonly type: "event-dead-lettered";
      readonly eventId: string;
      readonly aggregateId: string;
      readonly reason: RejectionReason;
      readonly message: string;
      readonly attempts: number;
    }
  /** So many aggregates are blocked that nothing more is claimed until one is free. */
  | { readonly type: "blocked-limit-reached"; readonly blocked: number }
  /** An open transaction has been holding newer events back for longer than the warning time. */
  | {
      readonly type: "fence-held";
      readonly pid: number | null;
      readonly application: string;
      readonly transaction: string;
      readonly heldMs: number;
    }
  /** The relay stopped waiting for that transaction; its events will be late. */
  | {
      readonly type: "fence-passed";
      readonly pid: number | null;
      readonly transaction: string;
      readonly heldMs: number;
    }
  /** Events that appeared behind the fence: `created_at` lies in the past, or their writer was passed. */
  | { readonly type: "late-events"; readonly events: number }
  /** With a schedule: a tick has opened a run. */
  | { readonly type: "dispatch-started" }
  /** What was created before the run is out, and the relay rests. `skipped`: ticks that came meanwhile. */
  | {
      readonly type: "dispatch-finished";
      readonly events: number;
      readonly skipped: number;
      readonly durationMs: number;
    }
  /** A tick came while a run was still open; said for the first of each run. */
  | { readonly type: "dispatch-skipped"; readonly openForMs: number }
  /** Ticks for which the process was not awake; they are not made up for. */
  | {
      readonly type: "dispatch-missed";
      readonly ticks: number;
      readonly firstDueAt: string;
      readonly lastDueAt: string;
    }
  /** Everything behind the cursors was looked at; they went back to what was found there. */
  | { readonly type: "swept" }
  /** How many events wait; `isMore` when the count stopped at its limit. `oldestAgeMs` is null when none waits. */
  | {
      readonly type: "backlog-counted";
      readonly events: number;
      readonly isMore: boolean;
      readonly oldestAgeMs: number | null;
    }
  /** Marks older than the retention were deleted from the inbox beside the outbox. */
  | { readonly type: "inbox-pruned"; readonly rows: number }
  /** There is no inbox beside the outbox, or this role may not prune it; said once. */
  | { readonly type: "inbox-unprunable"; readonly obstacle: "missing" | "forbidden" };

export type AnnouncementType = Announcement["type"];
export type Listener = (announcement: Announcement) => void;

export class Announcements {
  readonly #listeners = new Set<Listener>();

  /** Returns the call that ends the subscription. A listener must not throw. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  announce(announcement: Announcement): void {
    for (const listener of this.#listeners) listener(announcement);
    if (announcement.type === "batch-published") announcement.batch.release();
  }
}

const shown = ({ shard, term }: Term): string => `${shard}:${term}`;

export function leasesChanged({ held, membersCount, taken, lost, handedBack }: LeaseChange): Announcement {
  return {
    type: "leases-changed",
    held,
    members: membersCount,
    taken: taken.map(shown),
    lost: lost.map(shown),
    handedBack: handedBack.map(shown),
  };
}
