/**
 * A model of Kafka: a log a partition, and the deduplication of an idempotent producer exactly as a
 * broker does it, by producer id and sequence range and by nothing else.
 */
export interface LogRecord {
  readonly eventId: string;
  readonly aggregateId: string;
  /** The process that sent it. */
  readonly by: string;
}

/** What an idempotent producer stamps on a batch. */
export interface ProducerStamp {
  readonly producerId: string;
  readonly sequence: number;
}

export const partitionCount = 3;

export function partitionOf(aggregateId: string): number {
  let hash = 0;
  for (const character of aggregateId) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return hash % partitionCount;
}

export class ModelBroker {
  readonly logs: readonly LogRecord[][] = Array.from({ length: partitionCount }, () => []);
  /** Partitions that have no leader: whatever is sent there is lost. */
  readonly leaderless = new Set<number>();
  /** Aggregates whose events are refused. */
  readonly refused = new Set<string>();
  /** How often an event was refused by itself, not for another one in its batch. */
  readonly refusals = new Map<string, number>();
  readonly #present = new Set<string>();
  readonly #onAppend: (record: LogRecord) => void;
  /** By producer and partition: the ranges written last, and the sequence that comes next. */
  readonly #producers = new Map<string, { ranges: string[]; next: number }>();

  constructor(onAppend: (record: LogRecord) => void) {
    this.#onAppend = onAppend;
  }

  refuses(records: readonly LogRecord[]): boolean {
    const [first] = records;
    if (!records.some(({ aggregateId }) => this.refused.has(aggregateId))) return false;
    if (first !== undefined && records.length === 1) {
      this.refusals.set(first.eventId, (this.refusals.get(first.eventId) ?? 0) + 1);
    }
    return true;
  }

  has(eventId: string): boolean {
    return this.#present.has(eventId);
  }

  /** Appends one record batch, whole or not at all. Returns whether the broker answers "success". */
  append(partition: number, records: readonly LogRecord[], stamp?: ProducerStamp): boolean {
    if (stamp !== undefined) {
      const key = `${stamp.producerId}/${partition}`;
      const known = this.#producers.get(key) ?? { ranges: [], next: stamp.sequence };
      const range = `${stamp.sequence}+${records.length}`;
      if (known.ranges.includes(range)) return true;
      if (known.next !== stamp.sequence) return false;
      this.#producers.set(key, {
        ranges: [...known.ranges, range].slice(-5),
        next: stamp.sequence + records.length,
      });
    }
    for (const record of records) {
      this.#onAppend(record);
      this.#present.add(record.eventId);
      this.logs[partition]?.push(record);
    }
    return true;
  }
}
