/** How the shards are divided among loops: all in one, or a loop for each shard group. */
import { allGroups, shardsOf } from "../event/shard.ts";
import { GroupHolding } from "../lease/group-holding.ts";
import type { ShardHolding } from "../lease/lease.ts";
import type { Outbox } from "../outbox/outbox.ts";
import { DeliveryLine, type DeliveryParts } from "./delivery-line.ts";
import type { LineMaker } from "./line.ts";
import type { Slice } from "./relay.ts";

/** One loop for everything: at-least-once delivery. */
export function wholeSlice(holding: ShardHolding, parts: DeliveryParts): readonly Slice[] {
  const { outbox } = parts;
  return [{ outbox, holding, makeLine: (owner) => new DeliveryLine(parts, owner) }];
}

/**
 * A loop for each group; `leadShard` is the one whose term stands for the group. The groups share the
 * `outboxes`, so that their claims need not all wait for each other.
 */
export function groupSlices(
  holding: ShardHolding,
  outboxes: readonly Outbox[],
  makeLine: (group: number, leadShard: number) => LineMaker,
): readonly Slice[] {
  return allGroups.map((group) => ({
    outbox: outboxes[group % outboxes.length] as Outbox,
    holding: new GroupHolding(holding, group),
    makeLine: makeLine(group, shardsOf(group)[0] as number),
  }));
}
