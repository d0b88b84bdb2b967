/**
 * The checker, pure: what was committed against what Kafka holds.
 *
 *     I1  missing      committed, and nowhere in the topic
 *     I2  phantom      in the topic, and never committed
 *     I3  inversions   a first occurrence behind one of a higher position of its aggregate
 *     I4  gaps         a first occurrence whose predecessor had not occurred by then
 *     I5  strays       an aggregate found in a second partition
 *     I6  corrupted    key, payload or created_at is not what was committed
 *     I7  duplicates   occurrences beyond the first
 *
 * I4 is stricter than I1 and I3 together only while events are missing; it is counted on its own because
 * it names the event at which an order went wrong.
 */
import { microsOfIso } from "../../src/event/position.ts";

export interface Audited {
  readonly eventId: string;
  readonly aggregateId: string;
  readonly createdAt: string;
  readonly seq: string;
  readonly payloadMd5: string;
}

export interface Recorded {
  readonly eventId: string;
  readonly aggregateId: string;
  readonly partition: number;
  readonly offset: number;
  readonly createdAt: string;
  readonly payloadMd5: string;
}

export interface Judgement {
  readonly events: number;
  readonly missing: number;
  readonly phantom: number;
  readonly inversions: number;
  readonly gaps: number;
  readonly strays: number;
  readonly corrupted: number;
  readonly duplicates: number;
  /** The first few cases of each kind, for the person who has to find the cause. */
  readonly examples: readonly string[];
}

type Kind = "missing" | "phantom" | "inversions" | "gaps" | "strays" | "corrupted" | "duplicates";

const examplesMax = 3;

class Tally {
  readonly counts: Record<Kind, number> = {
    missing: 0,
    phantom: 0,
    inversions: 0,
    gaps: 0,
    strays: 0,
    corrupted: 0,
    duplicates: 0,
  };
  readonly examples: string[] = [];

  add(kind: Kind, example: string): void {
    this.counts[kind] += 1;
    if (kind !== "duplicates" && this.counts[kind] <= examplesMax) this.examples.push(`${kind}: ${example}`);
  }
}

interface Ranked extends Audited {
  /** Its place among the events of its aggregate, from 0. */
  readonly rank: number;
}

/** Gives every event its place in the order of its aggregate. */
function rank(committed: readonly Audited[]): Map<string, Ranked> {
  const lanes = new Map<string, { event: Audited; at: number; seq: number }[]>();
  for (const event of committed) {
    const lane = lanes.get(event.aggregateId) ?? [];
    lane.push({ event, at: microsOfIso(event.createdAt), seq: Number(event.seq) });
    lanes.set(event.aggregateId, lane);
  }
  const ranked = new Map<string, Ranked>();
  for (const lane of lanes.values()) {
    lane.sort((a, b) => a.at - b.at || a.seq - b.seq);
    for (const [place, { event }] of lane.entries()) ranked.set(event.eventId, { ...event, rank: place });
  }
  return ranked;
}

/** `records`: as they lie in the topic, partition by partition in the order of their offsets. */
export function judge(committed: readonly Audited[], records: readonly Recorded[]): Judgement {
  const truth = rank(committed);
  const seen = new Set<string>();
  const highest = new Map<string, number>();
  const homes = new Map<string, number>();
  const tally = new Tally();
  for (const record of records) {
    const { eventId, aggregateId, partition, offset } = record;
    const event = truth.get(eventId);
    const where = `${eventId} at ${partition}/${offset}`;
    if (event === undefined) {
      tally.add("phantom", where);
      continue;
    }
    if ((homes.get(aggregateId) ?? partition) !== partition) tally.add("strays", where);
    homes.set(aggregateId, partition);
    if (!isSame(event, record)) tally.add("corrupted", where);
    if (seen.has(eventId)) {
      tally.add("duplicates", where);
      continue;
    }
    seen.add(eventId);
    const top = highest.get(event.aggregateId) ?? -1;
    if (event.rank < top) tally.add("inversions", `${where}, rank ${event.rank} after ${top}`);
    if (event.rank > top + 1) tally.add("gaps", `${where}, rank ${event.rank} after ${top}`);
    highest.set(event.aggregateId, Math.max(top, event.rank));
  }
  for (const { eventId, aggregateId } of committed) {
    if (!seen.has(eventId)) tally.add("missing", `${eventId} of ${aggregateId}`);
  }
  return { events: committed.length, ...tally.counts, examples: tally.examples };
}

function isSame(event: Audited, record: Recorded): boolean {
  return (
    event.aggregateId === record.aggregateId &&
    event.payloadMd5 === record.payloadMd5 &&
    microsOfIso(event.createdAt) === microsOfIso(record.createdAt)
  );
}
