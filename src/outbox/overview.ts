/** All that can be seen of an outbox at one moment, as a port: for a person who watches. Reads only. */

export interface Overview {
  /**
   * One sample, of bounded cost whatever the backlog.
   * @throws OutriderError OUTBOX_UNAVAILABLE (retriable), OUTBOX_UNFIT or OUTBOX_FAILED.
   */
  sample(): Promise<Sample>;
  close(): Promise<void>;
}

export interface Sample {
  /** The database's clock, milliseconds since 1970. */
  readonly clockMs: number;
  readonly database: string;
  /** Rows ever written and removed, as PostgreSQL's statistics count them: rolled back ones are counted, too. */
  readonly written: number;
  readonly removed: number;
  readonly backlog: {
    readonly events: number;
    /** There are more than were counted. */
    readonly isMore: boolean;
    readonly oldestAgeMs: number | null;
  };
  /** Live relays, and those that still hold a shard. */
  readonly relays: readonly RelaySample[];
  readonly shardsFree: number;
  /** Held by relays that have not renewed in time. */
  readonly shardsExpired: number;
  readonly blocked: {
    readonly aggregates: number;
    /** The longest waiting ones. */
    readonly first: readonly BlockedSample[];
  };
  readonly deadLetters: number;
  /** Open transactions that have written to the outbox; the fence waits for them. The oldest first. */
  readonly writers: readonly WriterSample[];
}

export interface RelaySample {
  readonly member: string;
  readonly shards: number;
  /** Until its membership ends unless it is renewed; null when it is over. Milliseconds. */
  readonly expiresInMs: number | null;
}

export interface BlockedSample {
  readonly aggregateId: string;
  readonly reason: string;
  readonly attempts: number;
  readonly sinceMs: number;
}

export interface WriterSample {
  /** Null for a prepared transaction. */
  readonly pid: number | null;
  readonly application: string | null;
  /** Null when this role may not see it. */
  readonly openForMs: number | null;
}
