/**
 * Reading topics, as a port: for an audit. It joins no group, commits no offset and writes nothing, so
 * it may be run beside any number of consumers; it needs the rights to describe and to read a topic.
 */

export type Isolation = "read_committed" | "read_uncommitted";

/** What an audit has to know of a record: never its value. */
export interface TopicRecord {
  readonly offset: number;
  readonly key: string | null;
  /** The header `event_id`; null when the record has none. */
  readonly eventId: string | null;
  /** The header `created_at`; null when the record has none. */
  readonly createdAt: string | null;
}

/** The records that a partition holds: offsets from `low` to below `end`, committed or not. */
export interface PartitionBounds {
  readonly partition: number;
  readonly low: number;
  readonly end: number;
}

export interface ReadRange {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  /** The offset behind the last one to read. */
  readonly to: number;
}

export interface TopicReader {
  /** @throws OutriderError BROKER_UNAVAILABLE (retriable) or BROKER_REFUSED. */
  connect(): Promise<void>;
  /** The partition counts of these topics, or of all; those that this login cannot see are left out. */
  describe(topics: readonly string[] | "all"): Promise<ReadonlyMap<string, number>>;
  /** Of a topic that was described. */
  bounds(topic: string): Promise<readonly PartitionBounds[]>;
  /**
   * Per partition, the first offset whose record has a timestamp at or after `timestampMs` (milliseconds
   * since 1970); partitions without such a record are left out.
   */
  offsetsAt(topic: string, timestampMs: number): Promise<ReadonlyMap<number, number>>;
  /**
   * Reads in the order of the offsets; returns where it ended. That is below `to` only when an open
   * transaction hid the rest from `read_committed` for as long as `waitMsMax`.
   */
  read(
    range: ReadRange,
    isolation: Isolation,
    waitMsMax: number,
    onRecord: (record: TopicRecord) => void,
  ): Promise<number>;
  /** The partition that the relay's publisher chooses for a key. */
  partitionOf(key: string, partitions: number): number;
  close(): Promise<void>;
}
