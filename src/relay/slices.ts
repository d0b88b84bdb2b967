/** How the shards are divided among loops: all in one, or a loop for each shard group. */
import { allGroups, shardsOf } from "../event/shard.ts";
import { GroupHolding } from "../lease/group-holding.ts";
import type { ShardHolding } from "../lease/lease.ts";
import { DeliveryLine, type DeliveryParts } from "./delivery-line.ts";
import type { LineMaker } from "./line.ts";
import type { Slice } from "./relay.ts";

/** One loop for everything: at-least-once delivery. */
export function wholeSlice(holding: ShardHolding, parts: DeliveryParts): readonly Slice[] {
  return [{ holding, makeLine: (owner) => new DeliveryLine(parts, owner) }];
}

/** A loop for each group; `leadShard` is the one whose term stands for the group. */
export function groupSlices(
  holding: ShardHolding,
  makeLine: (group: number, leadShard: number) => LineMaker,
): readonly Slice[] {
  return allGroups.map((group) => ({
    holding: new GroupHolding(holding, group),
    makeLine: makeLine(group, shardsOf(group)[0] as number),
  }));
}
