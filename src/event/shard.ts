import type { Position } from "./position.ts";

/** The aggregates are cut into this many slices; fixed by the generated column `shard`. */
export const shardCount = 64;

export const allShards: readonly number[] = Array.from({ length: shardCount }, (_, shard) => shard);

/** Everything of this shard up to and including `position` has been claimed. */
export interface ShardCursor extends Position {
  readonly shard: number;
}
