/** A position with its instant worked out once: an idle relay compares 64 of them at every poll. */
import { beginning, type Micros, microsOfIso, type Position, startOf } from "../event/position.ts";

export interface Mark extends Position {
  readonly at: Micros;
}

export const markOf = ({ createdAt, seq }: Position): Mark => ({
  createdAt,
  seq,
  at: microsOfIso(createdAt),
});

/** Everything created before this instant is below it, and nothing else. */
export const fenceMark = (fence: Micros): Mark =>
  fence === Number.NEGATIVE_INFINITY ? markOf(beginning) : { ...startOf(fence), at: fence };

export function isBelow(a: Mark, b: Mark): boolean {
  return a.at === b.at ? BigInt(a.seq) < BigInt(b.seq) : a.at < b.at;
}

export const higherOf = (a: Mark | undefined, b: Mark): Mark => (a === undefined || isBelow(a, b) ? b : a);
