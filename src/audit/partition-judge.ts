/**
 * Judges one partition, record by record, by what stands in the records themselves. Pure bookkeeping.
 *
 * Order is judged on first occurrences: a duplicate is a replay and proves nothing. Where the reading
 * began in the middle of the log, an event may have occurred before: seen for the first time, with a
 * created_at not above that of the first record read of its aggregate, it is either out of order or a
 * replay, and nobody can tell which. Such a case is *undecided*. Above that first record there is no
 * doubt: had the order held, its first occurrence would have been read.
 *
 * Equal values of created_at are never out of order: `seq` breaks the tie, and no record carries it.
 */
import { type Micros, microsOfIso } from "../event/position.ts";
import type { TopicRecord } from "../publisher/topic-reader.ts";

export interface Example {
  readonly topic?: string;
  readonly partition?: number;
  readonly offset?: number;
  readonly eventId?: string;
  readonly aggregateId?: string;
}

export interface PartitionChoices {
  readonly topic: string;
  readonly partition: number;
  /** Records before it only teach what has occurred; they are not judged. */
  readonly judgedFrom: number;
  /** Whether the reading begins with the first record that the partition ever had. */
  readonly isWhole: boolean;
  /** The partition that the publisher would choose for a key. */
  readonly homeOf: (key: string) => number;
}

export interface PartitionFindings {
  readonly records: number;
  readonly unidentified: number;
  readonly inversions: number;
  readonly undecided: number;
  readonly ties: number;
  readonly misplaced: number;
  readonly duplicates: number;
  readonly duplicatesOf: ReadonlyMap<string, number>;
  /** The keys of the judged records. */
  readonly keys: ReadonlySet<string>;
  /** The first few cases of each kind. */
  readonly examples: Readonly<Record<"unidentified" | "inversions" | "undecided", readonly Example[]>>;
}

interface Lane {
  readonly first: Micros;
  top: Micros;
}

const examplesMax = 3;

export class PartitionJudge {
  readonly #choices: PartitionChoices;
  readonly #lanes = new Map<string, Lane>();
  readonly #seen = new Set<string>();
  readonly #keys = new Set<string>();
  readonly #duplicatesOf = new Map<string, number>();
  readonly #counts = { records: 0, unidentified: 0, inversions: 0, undecided: 0, ties: 0, misplaced: 0 };
  readonly #examples = {
    unidentified: [] as Example[],
    inversions: [] as Example[],
    undecided: [] as Example[],
  };

  constructor(choices: PartitionChoices) {
    this.#choices = choices;
  }

  /** Records must come in the order of their offsets. */
  take(record: TopicRecord): void {
    const { judgedFrom, partition, homeOf } = this.#choices;
    const isJudged = record.offset >= judgedFrom;
    const { key, eventId, createdAt } = record;
    const at = createdAt === null ? Number.NaN : microsOfIso(createdAt);
    if (isJudged) this.#counts.records += 1;
    if (key === null || eventId === null || Number.isNaN(at)) {
      if (isJudged) this.#add("unidentified", record);
      return;
    }
    if (isJudged) {
      this.#keys.add(key);
      if (homeOf(key) !== partition) this.#counts.misplaced += 1;
    }
    if (this.#seen.has(eventId)) {
      if (isJudged) this.#duplicatesOf.set(key, (this.#duplicatesOf.get(key) ?? 0) + 1);
      return;
    }
    this.#seen.add(eventId);
    this.#place(key, at, record, isJudged);
  }

  #place(key: string, at: Micros, record: TopicRecord, isJudged: boolean): void {
    const lane = this.#lanes.get(key);
    if (lane === undefined) this.#lanes.set(key, { first: at, top: at });
    else if (at > lane.top) lane.top = at;
    else if (!isJudged) return;
    else if (at === lane.top) this.#counts.ties += 1;
    else if (at <= lane.first && !this.#choices.isWhole) this.#add("undecided", record);
    else this.#add("inversions", record);
  }

  #add(kind: "unidentified" | "inversions" | "undecided", { offset, eventId, key }: TopicRecord): void {
    this.#counts[kind] += 1;
    if (this.#examples[kind].length >= examplesMax) return;
    const { topic, partition } = this.#choices;
    this.#examples[kind].push({
      topic,
      partition,
      offset,
      ...(eventId === null ? undefined : { eventId }),
      ...(key === null ? undefined : { aggregateId: key }),
    });
  }

  findings(): PartitionFindings {
    return {
      ...this.#counts,
      duplicates: [...this.#duplicatesOf.values()].reduce((sum, count) => sum + count, 0),
      duplicatesOf: this.#duplicatesOf,
      keys: this.#keys,
      examples: this.#examples,
    };
  }
}
