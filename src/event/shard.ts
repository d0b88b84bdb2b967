import type { Position } from "./position.ts";

/** The aggregates are cut into this many slices; fixed by the generated column `shard`. */
export const shardCount = 64;

export const allShards: readonly number[] = Array.from({ length: shardCount }, (_, shard) => shard);

/** Shards come in groups of eight where a batch needs a number: exactly-once and at-most-once delivery. */
export const shardsPerGroup = 8;

export const allGroups: readonly number[] = Array.from(
  { length: shardCount / shardsPerGroup },
  (_, group) => group,
);

/** The shards of a group, in order. */
export function shardsOf(group: number): readonly number[] {
  return Array.from({ length: shardsPerGroup }, (_, at) => group * shardsPerGroup + at);
}

/** Everything of this shard up to and including `position` has been claimed. */
export interface ShardCursor extends Position {
  readonly shard: number;
}
