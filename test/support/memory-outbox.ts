/**
 * The outbox port over a model of PostgreSQL: transactions stamp rows when they insert, rows become
 * visible at the commit, and answers can be lost. It must be able to hurt: a relay that is correct
 * over a kind model has proved nothing. The contract suite runs it beside the real thing.
 */
import type { Ack } from "../../src/event/delivery.ts";
import type { OutboxEvent } from "../../src/event/event.ts";
import {
  comparePositions,
  isoOfMicros,
  type Micros,
  microsOfIso,
  type Position,
} from "../../src/event/position.ts";
import { shardOfSlot, slotCount } from "../../src/event/shard.ts";
import { OutriderError } from "../../src/foundation/errors.ts";
import type {
  Backlog,
  Claim,
  ClaimLimits,
  ClaimRequest,
  Fault,
  Look,
  LookAndClaim,
  Outbox,
  SearchRequest,
  SearchStop,
  WriterDescription,
} from "../../src/outbox/outbox.ts";

export type NewRow = Partial<
  Pick<OutboxEvent, "aggregateId" | "createdAt" | "topic" | "aggregateType" | "headers" | "eventType">
> & {
  readonly payload?: string;
};

export interface ModelTransaction {
  /** Stamps and inserts a row; returns its event id. */
  insert(row: NewRow): Promise<string>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

interface Writer {
  readonly pid: number;
  readonly startedAt: Micros;
  readonly slots: Set<number>;
}

interface Row {
  readonly event: OutboxEvent;
  isVisible: boolean;
}

/** Like `hashtext(aggregate_id) & 4095`: any stable function will do. */
function slotOf(aggregateId: string): number {
  let hash = 7;
  for (const character of aggregateId) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return hash % slotCount;
}

export class MemoryOutbox implements Outbox {
  /** Microseconds; moves on by one at every reading, as no two readings of a real clock are equal here. */
  now: Micros = 1_700_000_000_000_000;
  /** Counts what was asked, so that tests can say "nothing was asked". */
  readonly calls = { look: 0, claim: 0, unchanged: 0, peek: 0, remove: 0 };
  faults: readonly Fault[] = [];
  isAway = false;
  /** Whether writers announce their slots. */
  announces = false;
  /** The next so many removals are carried out, but their answers are lost. */
  removalsUnanswered = 0;
  readonly #rows = new Map<string, Row>();
  readonly #writers = new Map<string, Writer>();
  #seq = 0;

  begin(): ModelTransaction {
    const id = `${this.#writers.size + 3}/${this.#tick()}`;
    const own: string[] = [];
    const end = (isCommit: boolean) => {
      for (const eventId of own) {
        const row = this.#rows.get(eventId);
        if (row !== undefined && isCommit) row.isVisible = true;
        else this.#rows.delete(eventId);
      }
      this.#writers.delete(id);
    };
    return {
      insert: async (row) => {
        if (!this.#writers.has(id))
          this.#writers.set(id, { pid: this.#tick() % 100_000, startedAt: this.#tick(), slots: new Set() });
        const event = this.#stamp(row);
        this.#writers.get(id)?.slots.add(event.slot);
        this.#rows.set(event.eventId, { event, isVisible: false });
        own.push(event.eventId);
        return event.eventId;
      },
      commit: async () => end(true),
      rollback: async () => end(false),
    };
  }

  /** Inserts and commits in one go. */
  async write(...rows: readonly NewRow[]): Promise<string[]> {
    const transaction = this.begin();
    const ids: string[] = [];
    for (const row of rows) ids.push(await transaction.insert(row));
    await transaction.commit();
    return ids;
  }

  /** Takes a committed row out, as a delete that returns it. */
  take(eventId: string): OutboxEvent | undefined {
    const row = this.#rows.get(eventId);
    if (row?.isVisible !== true) return undefined;
    this.#rows.delete(eventId);
    return row.event;
  }

  has(eventId: string): boolean {
    return this.#rows.has(eventId);
  }

  /** Writes a row under its old id, at a new position. */
  putBack(event: OutboxEvent): void {
    const { eventId } = event;
    const { createdAt, seq, rowHint } = this.#stamp({});
    this.#rows.set(eventId, { event: { ...event, createdAt, seq, rowHint }, isVisible: true });
  }

  get remaining(): OutboxEvent[] {
    return [...this.#rows.values()].map(({ event }) => event);
  }

  #tick(): Micros {
    this.now += 1;
    return this.now;
  }

  #stamp(row: NewRow): OutboxEvent {
    this.#seq += 1;
    const aggregateId = row.aggregateId ?? "order-1";
    const payload = row.payload ?? `{"n":${this.#seq}}`;
    return {
      eventId: `00000000-0000-7000-8000-${String(this.#seq).padStart(12, "0")}`,
      aggregateId,
      createdAt: row.createdAt ?? isoOfMicros(this.#tick()),
      seq: String(this.#seq),
      shard: shardOfSlot(slotOf(aggregateId)),
      slot: slotOf(aggregateId),
      eventType: row.eventType ?? null,
      aggregateType: row.aggregateType ?? null,
      topic: row.topic ?? null,
      headers: row.headers ?? null,
      payload,
      payloadBytes: Buffer.byteLength(payload),
      rowHint: `(0,${this.#seq})`,
    };
  }

  #answer(): void {
    if (this.isAway)
      throw new OutriderError("OUTBOX_UNAVAILABLE", "PostgreSQL is not available: refused", {
        retriable: true,
      });
  }

  async inspect(): Promise<readonly Fault[]> {
    this.#answer();
    return this.faults;
  }

  async peek(): Promise<string | null> {
    this.#answer();
    this.calls.peek += 1;
    return String(this.#seq);
  }

  /** Nothing ever waits here: tests move the clock by hand. */
  async awaitChange(): Promise<null> {
    return null;
  }

  async look(): Promise<Look> {
    this.#answer();
    this.calls.look += 1;
    const clock = this.#tick();
    const writers = [...this.#writers].map(([id, { pid, startedAt, slots }]) => ({
      id,
      pid,
      startedAt,
      slots: this.announces ? [...slots] : null,
    }));
    return { clock, writers, isTwoPhase: false, mark: String(this.#seq) };
  }

  async describeWriters(pids: readonly number[]): Promise<readonly WriterDescription[]> {
    this.#answer();
    return [...this.#writers.values()]
      .filter(({ pid }) => pids.includes(pid))
      .map(({ pid }) => ({ pid, application: "model" }));
  }

  async claim({ ranges, limits, blocked }: ClaimRequest): Promise<Claim> {
    this.#answer();
    this.calls.claim += 1;
    const out = new Set(blocked);
    const candidates = ranges.flatMap((range) =>
      this.#visible()
        .filter(({ shard, aggregateId }) => shard === range.shard && !out.has(aggregateId))
        .filter(({ slot }) => range.slot === undefined || slot === range.slot)
        .filter((event) => comparePositions(event, range) > 0 && microsOfIso(event.createdAt) < range.fence)
        .slice(0, limits.eventsPerShardMax),
    );
    const events: OutboxEvent[] = [];
    let bytes = 0;
    for (const event of candidates.slice(0, limits.eventsMax)) {
      if (bytes >= limits.bytesMax) break;
      bytes += event.payloadBytes;
      events.push(withinLimit(event, limits));
    }
    return { events, isCut: events.length >= limits.eventsMax || bytes >= limits.bytesMax };
  }

  async lookAndClaim(
    request: ClaimRequest,
    since: string | null,
  ): Promise<LookAndClaim | "unchanged" | null> {
    this.#answer();
    if (request.blocked.length > 0) return null;
    if (since === String(this.#seq)) {
      this.calls.unchanged += 1;
      return "unchanged";
    }
    return { look: await this.look(), claim: await this.claim(request) };
  }

  async claimHead(
    shard: number,
    aggregateId: string,
    from: Position,
    limits: ClaimLimits,
  ): Promise<OutboxEvent | undefined> {
    this.#answer();
    const head = this.#visible().find(
      (event) =>
        event.shard === shard && event.aggregateId === aggregateId && comparePositions(event, from) >= 0,
    );
    return head === undefined ? undefined : withinLimit(head, limits);
  }

  async search({ ranges, rowsMax, blocked }: SearchRequest): Promise<readonly SearchStop[]> {
    this.#answer();
    const out = new Set(blocked);
    return ranges.flatMap(({ shard, from, until }) => {
      const seen = this.#visible()
        .filter((event) => event.shard === shard)
        .filter((event) => comparePositions(event, from) > 0 && comparePositions(event, until) <= 0)
        .slice(0, rowsMax);
      const found = seen.find(({ aggregateId }) => !out.has(aggregateId));
      const stop = found ?? (seen.length === rowsMax ? seen.at(-1) : undefined);
      if (stop === undefined) return [];
      return [{ shard, createdAt: stop.createdAt, seq: stop.seq, isFound: found !== undefined }];
    });
  }

  async remove(acks: readonly Ack[]): Promise<number> {
    this.#answer();
    this.calls.remove += 1;
    const before = this.#rows.size;
    for (const { eventId } of acks) this.#rows.delete(eventId);
    if (this.removalsUnanswered > 0) {
      this.removalsUnanswered -= 1;
      throw new OutriderError("OUTBOX_UNAVAILABLE", "PostgreSQL is not available: the answer was lost", {
        retriable: true,
      });
    }
    return before - this.#rows.size;
  }

  async backlog(countMax: number): Promise<Backlog> {
    this.#answer();
    const events = this.#visible().slice(0, countMax);
    return { events: events.length, oldestAgeMs: events.length === 0 ? null : 1 };
  }

  async close(): Promise<void> {
    this.#writers.clear();
  }

  #visible(): OutboxEvent[] {
    return [...this.#rows.values()]
      .filter(({ isVisible }) => isVisible)
      .map(({ event }) => event)
      .sort(comparePositions);
  }
}

function withinLimit(event: OutboxEvent, { payloadBytesMax }: ClaimLimits): OutboxEvent {
  return event.payloadBytes > payloadBytesMax ? { ...event, payload: null } : event;
}
