/** What was found in a whole topic: the sum of its partitions, and what only several of them can show. Pure. */
import type { Example, PartitionFindings } from "./partition-judge.ts";

export interface TopicFindings {
  readonly topic: string;
  readonly partitions: number;
  readonly records: number;
  readonly aggregates: number;
  readonly unidentified: number;
  readonly inversions: number;
  readonly undecided: number;
  readonly ties: number;
  /** Records that lie where the publisher would not put their key, with the partitions that there are now. */
  readonly misplaced: number;
  /** Keys found in more than one partition. */
  readonly split: number;
  readonly duplicates: number;
  /** The aggregates with the most duplicates, the worst first. */
  readonly worst: readonly { readonly aggregateId: string; readonly duplicates: number }[];
  readonly examples: Readonly<
    Record<"unidentified" | "inversions" | "undecided" | "split", readonly Example[]>
  >;
}

const worstMax = 5;
const examplesMax = 3;

/** `parts`: by partition. */
export function mergePartitions(
  topic: string,
  partitions: number,
  parts: ReadonlyMap<number, PartitionFindings>,
): TopicFindings {
  const all = [...parts.values()];
  const sum = (of: (part: PartitionFindings) => number) => all.reduce((total, part) => total + of(part), 0);
  const examplesOf = (kind: "unidentified" | "inversions" | "undecided") =>
    all.flatMap(({ examples }) => examples[kind]).slice(0, examplesMax);
  const { aggregates, split } = homesOf(topic, parts);
  return {
    topic,
    partitions,
    records: sum(({ records }) => records),
    aggregates,
    unidentified: sum(({ unidentified }) => unidentified),
    inversions: sum(({ inversions }) => inversions),
    undecided: sum(({ undecided }) => undecided),
    ties: sum(({ ties }) => ties),
    misplaced: sum(({ misplaced }) => misplaced),
    split: split.length,
    duplicates: sum(({ duplicates }) => duplicates),
    worst: worstOf(all),
    examples: {
      unidentified: examplesOf("unidentified"),
      inversions: examplesOf("inversions"),
      undecided: examplesOf("undecided"),
      split: split.slice(0, examplesMax),
    },
  };
}

function homesOf(topic: string, parts: ReadonlyMap<number, PartitionFindings>) {
  const homes = new Set<string>();
  const split = new Map<string, Example>();
  for (const [partition, { keys }] of parts) {
    for (const key of keys) {
      if (homes.has(key) && !split.has(key)) split.set(key, { topic, partition, aggregateId: key });
      homes.add(key);
    }
  }
  return { aggregates: homes.size, split: [...split.values()] };
}

function worstOf(parts: readonly PartitionFindings[]): TopicFindings["worst"] {
  const counts = new Map<string, number>();
  for (const { duplicatesOf } of parts) {
    for (const [key, count] of duplicatesOf) counts.set(key, (counts.get(key) ?? 0) + count);
  }
  return [...counts]
    .map(([aggregateId, duplicates]) => ({ aggregateId, duplicates }))
    .sort((a, b) => b.duplicates - a.duplicates || (a.aggregateId < b.aggregateId ? -1 : 1))
    .slice(0, worstMax);
}
