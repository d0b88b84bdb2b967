/**
 * The outbox table, as a port: look, claim, remove, and what an operator asks of it. This room is
 * the only one that knows the table's SQL.
 *
 * The contract that order rests on (`fence.ts` says why):
 * - `look` and `claim` are two statements, the claim's snapshot being the younger one;
 * - a claim returns, per shard, the complete run of rows between the cursor and the fence, in order,
 *   cut only at its end; rows of the aggregates in `blocked` are left out whole;
 * - `remove` deletes exactly the events it is shown acks for, and may be called again with the same.
 *
 * Every call throws OUTBOX_UNAVAILABLE (retriable) when PostgreSQL is away or does not answer in
 * time, and never leaves a transaction open behind it.
 */
import type { Ack } from "../event/delivery.ts";
import type { OutboxEvent } from "../event/event.ts";
import type { Micros, Position } from "../event/position.ts";
import type { ShardCursor } from "../event/shard.ts";

/** A transaction that holds the lock of a writer on the outbox at the moment of a look. */
export interface OpenWriter {
  /** PostgreSQL's virtual transaction id: names this transaction and no other. */
  readonly id: string;
  /** The backend's process id; null for a prepared transaction. */
  readonly pid: number | null;
  /**
   * Start of the transaction that this backend was in, read after the locks: by then it may be in its next
   * one. Null when this role may not see it, and for a prepared transaction.
   */
  readonly startedAt: Micros | null;
  /** The slots that it has announced to write to, and it writes to no other yet; null: to any of them. */
  readonly slots: readonly number[] | null;
}

export interface Look {
  /** The database's clock, taken before the locks were read. */
  readonly clock: Micros;
  readonly writers: readonly OpenWriter[];
  /** Transactions can be prepared here: they then go on without their backend. */
  readonly isTwoPhase: boolean;
  /** What `peek` would have told before the locks were read; null where it cannot be had. */
  readonly mark: string | null;
}

/** What can be said about an open writer to the person who has to find it. */
export interface WriterDescription {
  readonly pid: number;
  readonly application: string;
}

export interface ClaimLimits {
  readonly eventsMax: number;
  readonly bytesMax: number;
  /** At most so many rows of one shard, so that a hot shard does not fill the batch alone. */
  readonly eventsPerShardMax: number;
  /** A larger payload is not read; its event comes with `payload: null`. */
  readonly payloadBytesMax: number;
}

/** What to claim of one shard: what stands behind its cursor. */
export interface ClaimRange extends ShardCursor {
  /** Only rows created before this instant; above -Infinity. Infinity: whatever is there. */
  readonly fence: Micros;
  /** Only rows of this slot of the shard; unset: of all. */
  readonly slot?: number;
}

/** Where a claim stopped among blocked rows. */
export interface PassedRows extends ShardCursor {
  /** Of the row that it stopped at; not `slot`, which would make a range of that slot alone out of this. */
  readonly atSlot: number;
}

export interface ClaimRequest {
  /** In the order in which the shards are visited. */
  readonly ranges: readonly ClaimRange[];
  readonly limits: ClaimLimits;
  /** Aggregates to leave out. */
  readonly blocked: readonly string[];
}

export interface Claim {
  /** Grouped by range in the order of the request, in position order inside a range. */
  readonly events: readonly OutboxEvent[];
  /** True when the limits of the whole batch ended it: shards after the last one were not visited. */
  readonly isCut: boolean;
  /**
   * Shards in which very many rows of blocked aggregates were passed over, and how far: there is more
   * behind. So one blocked aggregate of a million rows does not make every claim wait.
   */
  readonly passed?: readonly PassedRows[];
}

export interface LookAndClaim {
  readonly look: Look;
  /** The younger of the two. */
  readonly claim: Claim;
}

export interface SearchRequest {
  /** Where to look, shard by shard: behind `from`, up to and including `until`. */
  readonly ranges: readonly { readonly shard: number; readonly from: Position; readonly until: Position }[];
  /** At most so many rows of each shard are looked at. */
  readonly rowsMax: number;
  /** Aggregates to pass over. */
  readonly blocked: readonly string[];
}

/** Where the search of one shard ended: at the first row that is not blocked, or after `rowsMax` rows. */
export interface SearchStop extends ShardCursor {
  readonly isFound: boolean;
}

export interface Backlog {
  readonly events: number;
  readonly oldestAgeMs: number | null;
}

/** Something about the table, the role or the schema that makes relaying unsafe. */
export interface Fault {
  readonly code: string;
  readonly message: string;
  /** A statement or command that repairs it. */
  readonly repair: string;
}

export interface Outbox {
  /** Looks at schema, rights and settings; an empty list means that relaying is safe. */
  inspect(): Promise<readonly Fault[]>;
  /**
   * A mark that changes whenever an event is written, before its commit; null when it cannot be had.
   * The cheapest question of all: an idle relay asks nothing else.
   */
  peek(): Promise<string | null>;
  /**
   * Waits at the server, on a session that reads and writes nothing else meanwhile than removals and searches,
   * until the mark is another one, which it then answers: looked at every `everyMs`, for `forMs` at most. Null
   * when this cannot be waited for here.
   */
  awaitChange(mark: string, everyMs: number, forMs: number): Promise<string | null>;
  look(): Promise<Look>;
  /** What this role may see of the given backends; those that are gone are left out. */
  describeWriters(pids: readonly number[]): Promise<readonly WriterDescription[]>;
  claim(request: ClaimRequest): Promise<Claim>;
  /**
   * A look, and then a claim with a younger snapshot, for one round trip. What stands above the fence that the look
   * gives is not to be published: `belowOpen` takes most of it out, the cursors the rest. Null when it cannot be done here, or not yet.
   *
   * `since`: the mark of a look that found nobody writing, with nothing to claim. While the mark is still that one
   * there is nothing to look for: the answer is `unchanged`, and no lock was read, which is the part of the price that
   * grows with max_connections (docs/bench/look.md). It is no look: somebody who has not taken a number yet may be
   * writing. Null asks in any case.
   */
  lookAndClaim(request: ClaimRequest, since: string | null): Promise<LookAndClaim | "unchanged" | null>;
  /** The first event of one aggregate at or after a position; the way back out of a block. */
  claimHead(
    shard: number,
    aggregateId: string,
    from: Position,
    limits: ClaimLimits,
  ): Promise<OutboxEvent | undefined>;
  /**
   * Looks for rows that the cursors have passed over; reads no payload. May run beside a claim. Shards
   * that were searched to the end, with nothing found, are left out of the answer.
   */
  search(request: SearchRequest): Promise<readonly SearchStop[]>;
  /** Deletes what was acknowledged; returns how many rows were still there. */
  remove(acks: readonly Ack[]): Promise<number>;
  /** Counts at most `countMax` rows. */
  backlog(countMax: number): Promise<Backlog>;
  close(): Promise<void>;
}
