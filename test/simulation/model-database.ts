/**
 * A model of PostgreSQL with nothing but what matters to a relay. A transaction takes the writer's lock
 * before its first row is stamped and keeps it until its end; its rows become visible at the commit, all
 * at once. Every method is one statement, or one half of one, and sees what is visible at that moment.
 */
import type { OutboxEvent } from "../../src/event/event.ts";
import {
  comparePositions,
  isoOfMicros,
  type Micros,
  microsOfIso,
  type Position,
} from "../../src/event/position.ts";
import { shardCount, shardOfSlot, slotCount } from "../../src/event/shard.ts";
import type { BlockRecord } from "../../src/outbox/dead-letter-channel.ts";
import type {
  Backlog,
  Claim,
  ClaimLimits,
  ClaimRequest,
  OpenWriter,
  SearchRequest,
  SearchStop,
  WriterDescription,
} from "../../src/outbox/outbox.ts";
import { LeaseTable } from "../support/memory-leases.ts";
import type { NewRow } from "../support/memory-outbox.ts";
import { claimFrom, headFrom, searchIn } from "./table-reads.ts";

export interface Row {
  event: OutboxEvent;
  readonly at: Micros;
  /** Transaction that wrote it. */
  readonly writer: WriterTransaction;
  /** Its `created_at` was given by the application, or its writer was passed: no promise about order. */
  isLate: boolean;
  isVisible: boolean;
  /** It came with a fault that no publisher can translate; somebody may have repaired it since. */
  readonly cameBroken: boolean;
}

export interface WriterTransaction {
  readonly pid: number;
  readonly startedAt: Micros;
  /** Its virtual transaction id; a new one when it is prepared. */
  id: string;
  isPrepared: boolean;
  isPassed: boolean;
  readonly rows: Row[];
  /** What it has announced. */
  readonly slots: Set<number>;
}

/** The model's clock starts here, so that its times look like times. */
const epoch: Micros = 1_700_000_000_000_000;

/** Any stable function will do that lets some of few aggregates share a shard, and hardly any a slot. */
function slotOf(aggregateId: string): number {
  let hash = 2_166_136_261;
  for (const character of aggregateId) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 16_777_619) >>> 0;
  }
  return ((hash >>> 7) % (slotCount / shardCount)) * shardCount + 8 * ((hash >>> 13) % 8);
}

export const shardOf = (aggregateId: string): number => shardOfSlot(slotOf(aggregateId));

export class ModelDatabase {
  readonly leases: LeaseTable;
  /** Everything that was ever committed, in the order of the commits. */
  readonly committed: Row[] = [];
  /** Blocks that were written down, by event. */
  readonly blocks = new Map<string, BlockRecord>();
  /** While true, nothing is carried out and nothing is answered. */
  isAway = false;
  /** Some of its transactions will be prepared. */
  readonly isTwoPhase: boolean;
  /** Whether writers announce their slots. */
  readonly announces: boolean;
  readonly #nowUs: () => number;
  /** What the table holds, visible or not, in position order. */
  #rows: Row[] = [];
  readonly #open = new Set<WriterTransaction>();
  /** By every virtual id it ever had: a relay may speak of one that is outdated. */
  readonly #named = new Map<string, WriterTransaction>();
  #seq = 0;
  #ids = 0;

  constructor(
    nowUs: () => number,
    leaseTtlMs: number,
    { announces, isTwoPhase }: { readonly announces: boolean; readonly isTwoPhase: boolean },
  ) {
    this.announces = announces;
    this.isTwoPhase = isTwoPhase;
    this.#nowUs = nowUs;
    this.leases = new LeaseTable(() => nowUs() / 1000, leaseTtlMs);
  }

  /** `clock_timestamp()`. */
  get clock(): Micros {
    return epoch + this.#nowUs();
  }

  /** What is still in the table and visible. */
  get remaining(): readonly Row[] {
    return this.#rows.filter(({ isVisible }) => isVisible);
  }

  get openRows(): readonly Row[] {
    return this.#rows.filter(({ isVisible }) => !isVisible);
  }

  get openCount(): number {
    return this.#open.size;
  }

  begin(): WriterTransaction {
    this.#ids += 1;
    const id = `${this.#ids}/1`;
    const startedAt = this.clock;
    const pid = this.#ids;
    const writer = {
      id,
      pid,
      startedAt,
      isPrepared: false,
      isPassed: false,
      rows: [],
      slots: new Set<number>(),
    };
    this.#named.set(id, writer);
    return writer;
  }

  /** The lock on the table, which every insert takes first; it may be a while until the row is stamped. */
  lock(writer: WriterTransaction): void {
    this.#open.add(writer);
  }

  /** The slot is announced, then the row is stamped. `createdAt` is given by an application that knows better. */
  insert(writer: WriterTransaction, given: NewRow): Row {
    this.lock(writer);
    this.#seq += 1;
    const aggregateId = given.aggregateId ?? "order-1";
    const slot = slotOf(aggregateId);
    writer.slots.add(slot);
    const createdAt = given.createdAt ?? isoOfMicros(this.clock);
    const payload = given.payload ?? "{}";
    const event: OutboxEvent = {
      eventId: `e${this.#seq}`,
      aggregateId,
      shard: shardOfSlot(slot),
      slot,
      createdAt,
      seq: String(this.#seq),
      eventType: given.eventType ?? null,
      aggregateType: given.aggregateType ?? null,
      topic: given.topic ?? null,
      headers: given.headers ?? null,
      payload,
      payloadBytes: Buffer.byteLength(payload),
      rowHint: `(0,${this.#seq})`,
    };
    const isLate = given.createdAt !== undefined || writer.isPassed;
    const row = {
      event,
      at: microsOfIso(createdAt),
      writer,
      isLate,
      isVisible: false,
      cameBroken: given.topic !== undefined,
    };
    writer.rows.push(row);
    this.#rows.push(row);
    this.#rows.sort((a, b) => a.at - b.at || comparePositions(a.event, b.event));
    return row;
  }

  /** PREPARE TRANSACTION: no backend of its own any more, and a virtual id that nobody has seen. */
  prepare(writer: WriterTransaction): void {
    this.#ids += 1;
    writer.id = `-1/${this.#ids}`;
    writer.isPrepared = true;
    this.#named.set(writer.id, writer);
  }

  commit(writer: WriterTransaction): void {
    for (const row of writer.rows) row.isVisible = true;
    this.committed.push(...writer.rows);
    this.#open.delete(writer);
  }

  rollback(writer: WriterTransaction): void {
    this.#rows = this.#rows.filter((row) => row.writer !== writer);
    this.#open.delete(writer);
  }

  /** Somebody repairs a row by hand, or deletes it. False when it is not there any more. */
  repair(row: Row): boolean {
    row.event = { ...row.event, topic: null };
    return this.#rows.includes(row);
  }

  discard(row: Row): boolean {
    const isThere = this.#rows.includes(row);
    this.#rows = this.#rows.filter((other) => other !== row);
    return isThere;
  }

  /** What is written about the blocks of these shards; what is written about rows that are gone goes, too. */
  loadBlocks(shards: readonly number[]): BlockRecord[] {
    const there = new Set(this.remaining.map(({ event }) => event.eventId));
    for (const eventId of this.blocks.keys()) if (!there.has(eventId)) this.blocks.delete(eventId);
    return [...this.blocks.values()].filter(({ shard }) => shards.includes(shard));
  }

  rememberBlocks(blocks: readonly BlockRecord[]): void {
    for (const block of blocks) {
      if ((this.blocks.get(block.eventId)?.attempts ?? 0) < block.attempts)
        this.blocks.set(block.eventId, block);
    }
  }

  /** A relay gave up waiting for this transaction: what it commits is late. */
  pass(writerId: string): void {
    const writer = this.#named.get(writerId);
    if (writer === undefined) return;
    writer.isPassed = true;
    for (const row of writer.rows) row.isLate = true;
  }

  /** `last_value` of the sequence: changes with every insert, before the commit. */
  get mark(): string {
    return String(this.#seq);
  }

  /** The second part of a look: the locks as they are at this moment. */
  get writers(): OpenWriter[] {
    return [...this.#open].map(({ id, pid, isPrepared, slots }) => ({
      id,
      pid: isPrepared ? null : pid,
      startedAt: null,
      slots: this.announces ? [...slots] : null,
    }));
  }

  /** The third: when that began which their backends are in by now; at worst the next transaction, this moment. */
  started(writers: readonly OpenWriter[]): OpenWriter[] {
    return writers.map((writer) => {
      if (writer.pid === null) return writer;
      const own = this.#named.get(writer.id);
      const isThere = own !== undefined && this.#open.has(own) && !own.isPrepared;
      return { ...writer, startedAt: isThere ? own.startedAt : this.clock };
    });
  }

  /** When the statement began that wrote its last row. */
  lastStatementOf(writerId: string): Micros | null {
    return this.#named.get(writerId)?.rows.at(-1)?.at ?? null;
  }

  describe(pids: readonly number[]): WriterDescription[] {
    return [...this.#open]
      .filter(({ pid, isPrepared }) => !isPrepared && pids.includes(pid))
      .map(({ pid }) => ({ pid, application: "model" }));
  }

  claim(request: ClaimRequest): Claim {
    return claimFrom(this.remaining, request);
  }

  claimHead(
    shard: number,
    aggregateId: string,
    from: Position,
    limits: ClaimLimits,
  ): OutboxEvent | undefined {
    return headFrom(this.remaining, shard, aggregateId, from, limits);
  }

  search(request: SearchRequest): SearchStop[] {
    return searchIn(this.remaining, request);
  }

  backlog(countMax: number): Backlog {
    const [oldest, ...others] = this.remaining;
    if (oldest === undefined) return { events: 0, oldestAgeMs: null };
    return { events: Math.min(countMax, 1 + others.length), oldestAgeMs: (this.clock - oldest.at) / 1_000 };
  }

  /** Returns the rows that were still there. */
  remove(eventIds: ReadonlySet<string>): Row[] {
    const removed = this.#rows.filter(({ event, isVisible }) => isVisible && eventIds.has(event.eventId));
    if (removed.length > 0) this.#rows = this.#rows.filter((row) => !removed.includes(row));
    return removed;
  }
}
