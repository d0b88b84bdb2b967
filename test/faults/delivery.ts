/** What the delivery mode of a run changes: how relays are set up, how shards go round, what a row allows. */
import { shardCount, shardsPerGroup } from "../../src/event/shard.ts";
import type { Delivery } from "../../src/outbox/batch-book.ts";
import type { Bounds } from "./outcome.ts";

export type { Delivery } from "../../src/outbox/batch-book.ts";

/** Short enough that a transaction nobody ends holds readers back for seconds only. */
export const transactionTimeoutMs = 10_000;

export function environmentOf(delivery: Delivery): Readonly<Record<string, string>> {
  if (delivery === "at-least-once") return {};
  return {
    OUTRIDER_DELIVERY: delivery,
    ...(delivery === "exactly-once"
      ? { OUTRIDER_KAFKA_TRANSACTION_TIMEOUT_MS: String(transactionTimeoutMs) }
      : undefined),
  };
}

/** The most and the fewest shards that one of so many relays should hold: groups are not divided. */
export function fairShares(
  delivery: Delivery,
  relays: number,
): { readonly max: number; readonly min: number } {
  const unit = delivery === "at-least-once" ? 1 : shardsPerGroup;
  const units = shardCount / unit / relays;
  return { max: Math.ceil(units) * unit, min: Math.floor(units) * unit };
}

/** The only duplicates that these modes allow are those that the row calls unavoidable. */
export function boundsUnder(delivery: Delivery, bounds: Bounds): Bounds {
  if (delivery === "at-least-once") return bounds;
  const { unavoidableMax: duplicatesMax = 0, unavoidableMin: duplicatesMin = 0 } = bounds;
  return { ...bounds, duplicatesMax, duplicatesMin };
}

/** The sentence of the row, with what is said of duplicates made true for this mode. */
export function boundTextUnder(delivery: Delivery, bound: string): string {
  if (delivery === "at-least-once") return bound;
  const promise = delivery === "exactly-once" ? "no duplicate" : "no duplicate; what is lost is reported";
  const rest = bound.split("; ").filter((clause) => !/^duplicates ≤|^no duplicate$/.test(clause));
  return [...rest.map((clause) => clause.replace(/,? (and )?no duplicate$/, "")), promise].join("; ");
}
