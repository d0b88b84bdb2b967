/** What the statements of a relay read, as pure functions of the visible rows in position order. */
import type { OutboxEvent } from "../../src/event/event.ts";
import { comparePositions, type Position } from "../../src/event/position.ts";
import type {
  Claim,
  ClaimLimits,
  ClaimRequest,
  PassedRows,
  SearchRequest,
  SearchStop,
} from "../../src/outbox/outbox.ts";
import type { Row } from "./model-database.ts";

/** Rows of a shard that a claim looks at while something is blocked; few, so that it matters here. */
const lookedAtMax = 4;

export function claimFrom(rows: readonly Row[], { ranges, limits, blocked }: ClaimRequest): Claim {
  const byShard = new Map<number, Row[]>();
  for (const row of rows) {
    const lane = byShard.get(row.event.shard);
    if (lane === undefined) byShard.set(row.event.shard, [row]);
    else lane.push(row);
  }
  const looks =
    blocked.length === 0 ? Number.POSITIVE_INFINITY : Math.max(lookedAtMax, limits.eventsPerShardMax);
  const events: OutboxEvent[] = [];
  const passed: PassedRows[] = [];
  let bytes = 0;
  const isFull = () => events.length >= limits.eventsMax || bytes >= limits.bytesMax;
  for (const range of byShard.size === 0 ? [] : ranges) {
    const above = (byShard.get(range.shard) ?? []).flatMap(({ event, at }) =>
      at < range.fence &&
      (range.slot === undefined || event.slot === range.slot) &&
      comparePositions(event, range) > 0
        ? event
        : [],
    );
    let taken = 0;
    for (const [place, event] of above.slice(0, looks).entries()) {
      if (isFull() || taken >= limits.eventsPerShardMax) break;
      const { shard, slot, createdAt, seq } = event;
      if (place + 1 === looks) passed.push({ shard, atSlot: slot, createdAt, seq });
      if (blocked.includes(event.aggregateId)) continue;
      bytes += event.payloadBytes;
      taken += 1;
      events.push(withinLimit(event, limits));
    }
  }
  return { events, isCut: isFull(), passed };
}

export function headFrom(
  rows: readonly Row[],
  shard: number,
  aggregateId: string,
  from: Position,
  limits: ClaimLimits,
): OutboxEvent | undefined {
  const head = rows.find(
    ({ event }) =>
      event.shard === shard && event.aggregateId === aggregateId && comparePositions(event, from) >= 0,
  );
  return head === undefined ? undefined : withinLimit(head.event, limits);
}

export function searchIn(rows: readonly Row[], { ranges, rowsMax, blocked }: SearchRequest): SearchStop[] {
  return ranges.flatMap(({ shard, from, until }) => {
    const seen = rows
      .flatMap(({ event }) => (event.shard === shard ? event : []))
      .filter((event) => comparePositions(event, from) > 0 && comparePositions(event, until) <= 0)
      .slice(0, rowsMax);
    const found = seen.find(({ aggregateId }) => !blocked.includes(aggregateId));
    const stop = found ?? (seen.length === rowsMax ? seen.at(-1) : undefined);
    if (stop === undefined) return [];
    return [{ shard, createdAt: stop.createdAt, seq: stop.seq, isFound: found !== undefined }];
  });
}

function withinLimit(event: OutboxEvent, { payloadBytesMax }: ClaimLimits): OutboxEvent {
  // A copy, as every claim is: who compares events by identity must not be lucky here.
  return { ...event, ...(event.payloadBytes > payloadBytesMax ? { payload: null } : undefined) };
}
