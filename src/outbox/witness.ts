/**
 * Looking at an outbox that somebody else relays, as a port: for an audit. Nothing is written, nothing is
 * locked against anybody, no payload is read, and every answer is bounded. SELECT on the three tables
 * is all the right it needs.
 */

/** A row that waits; committed, since it was seen. */
export interface WitnessedRow {
  readonly eventId: string;
  readonly aggregateId: string;
  /** PostgreSQL's own text, with all its microseconds. */
  readonly createdAt: string;
  readonly topic: string | null;
  readonly aggregateType: string | null;
}

/** What waits, by the database's clock. The counts end at the bound that was given. */
export interface Standing {
  readonly waiting: number;
  /** Whether there are more than were counted. */
  readonly isMore: boolean;
  readonly oldestAgeMs: number | null;
  /** Rows that have waited longer than was asked about. */
  readonly stale: number;
  /** Aggregates that wait behind a rejected event. */
  readonly blocked: number;
  readonly deadLetters: number;
}

export type Place = "outbox" | "dead-letter";

/** Every call throws OUTBOX_UNAVAILABLE, OUTBOX_FAILED, or OUTBOX_UNFIT where a table or a right is missing. */
export interface OutboxWitness {
  /** The oldest and the newest rows of each shard, at most `perShardMax` of each. */
  sample(perShardMax: number): Promise<readonly WitnessedRow[]>;
  /** Where these events are now; one that is nowhere is left out. One moment for all that are asked together. */
  find(eventIds: readonly string[]): Promise<ReadonlyMap<string, Place>>;
  standing(countMax: number, ageMaxMs: number): Promise<Standing>;
  close(): Promise<void>;
}
