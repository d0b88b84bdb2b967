/** Judges a sequence of deliveries against the order the rows were given. */
import { microsOfIso } from "../../src/event/position.ts";

export interface Delivered {
  readonly eventId: string;
  readonly aggregateId: string;
}

export interface Truth {
  readonly eventId: string;
  readonly aggregateId: string;
  readonly createdAt: string;
  readonly seq: string;
}

export interface Verdict {
  readonly missing: number;
  readonly phantom: number;
  readonly inversions: number;
  readonly duplicates: number;
}

/** First occurrences must be in position order per aggregate; later ones count as duplicates. */
export function judgeDeliveries(committed: readonly Truth[], delivered: readonly Delivered[]): Verdict {
  const truth = new Map(
    committed.map((row) => [row.eventId, { at: microsOfIso(row.createdAt), seq: Number(row.seq) }]),
  );
  const seen = new Set<string>();
  const highest = new Map<string, { at: number; seq: number }>();
  let [phantom, inversions, duplicates] = [0, 0, 0];
  for (const { eventId, aggregateId } of delivered) {
    const position = truth.get(eventId);
    if (position === undefined) phantom += 1;
    else if (seen.has(eventId)) duplicates += 1;
    else {
      seen.add(eventId);
      const top = highest.get(aggregateId);
      const isBehind =
        top !== undefined && (position.at < top.at || (position.at === top.at && position.seq < top.seq));
      if (isBehind) inversions += 1;
      else highest.set(aggregateId, position);
    }
  }
  return { missing: truth.size - seen.size, phantom, inversions, duplicates };
}
