/**
 * The auditor: is told what was committed and what was received, in any interleaving, and says which
 * promises held. Pure bookkeeping; it trusts neither the relay nor the outbox.
 *
 * The truth is what the writers' own transactions read back from the database before their commit.
 * An event received before its writer knows that its commit succeeded is kept aside until then; what
 * nobody ever reports as committed is a phantom. Kept per event: its id and six numbers, no payload
 * (measured: about 170 bytes an event), so a million events fit into an ordinary heap.
 */
import { LatencyHistogram, type LatencySummary } from "./latency-histogram.ts";

/** An event as its own transaction saw it in the table. */
export interface CommittedEvent {
  readonly eventId: string;
  readonly aggregateId: string;
  /** Position: `created_at` in microseconds since 1970, and `seq`. */
  readonly createdAtMicros: number;
  readonly seq: number;
  /** Digest of the payload bytes as stored, and of topic, types and headers as asked for. */
  readonly payloadDigest: number;
  readonly envelopeDigest: number;
}

/** An event as the consumer saw it. */
export interface ReceivedEvent {
  readonly eventId: string;
  readonly key: string;
  /** The `created_at` header. */
  readonly createdAtMicros: number;
  readonly payloadDigest: number;
  readonly envelopeDigest: number;
  /** Where the consumer found it: topic and partition. */
  readonly partition: string;
}

export const faultKinds = ["missing", "phantom", "inversions", "corrupted", "misaddressed", "split"] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Audit extends Readonly<Record<FaultKind, number>> {
  readonly committed: number;
  /** Committed events that were received, each counted once. */
  readonly published: number;
  /** Receipts of events that had been received before: allowed by at-least-once. */
  readonly duplicates: number;
  readonly latencyMs: LatencySummary;
  /** The first event that showed each kind of fault, for the person who has to find out why. */
  readonly examples: Partial<Record<FaultKind, string>>;
}

interface Receipt {
  readonly event: ReceivedEvent;
  readonly atMs: number;
}

const notCommitted = -1;

export class Auditor {
  readonly #ordinals = new Map<string, number>();
  readonly #aggregates = new Map<string, number>();
  /** By ordinal; `notCommitted` as the aggregate of an event that nobody has reported yet. */
  readonly #aggregateOf: number[] = [];
  readonly #createdAt: number[] = [];
  readonly #seq: number[] = [];
  readonly #payloadDigest: number[] = [];
  readonly #envelopeDigest: number[] = [];
  readonly #committedAtMs: number[] = [];
  readonly #isReceived: boolean[] = [];
  /** Ordinals in the order of their first receipt. */
  readonly #firstReceipts: number[] = [];
  readonly #early = new Map<number, Receipt[]>();
  readonly #partitionOf = new Map<number, string>();
  readonly #split = new Set<number>();
  readonly #latency = new LatencyHistogram();
  readonly #examples: Partial<Record<FaultKind, string>> = {};
  #committed = 0;
  #published = 0;
  #duplicates = 0;
  #corrupted = 0;
  #misaddressed = 0;

  /** Committed events so far. */
  get committed(): number {
    return this.#committed;
  }

  /** Committed events that were received so far, each counted once. */
  get published(): number {
    return this.#published;
  }

  /** `atMs`: when the commit returned, on the clock that receipts are measured with. */
  commit(event: CommittedEvent, atMs: number): void {
    const ordinal = this.#ordinalOf(event.eventId);
    this.#aggregateOf[ordinal] = this.#aggregateIndex(event.aggregateId);
    this.#createdAt[ordinal] = event.createdAtMicros;
    this.#seq[ordinal] = event.seq;
    this.#payloadDigest[ordinal] = event.payloadDigest;
    this.#envelopeDigest[ordinal] = event.envelopeDigest;
    this.#committedAtMs[ordinal] = atMs;
    this.#committed += 1;
    const early = this.#early.get(ordinal) ?? [];
    this.#early.delete(ordinal);
    for (const [index, receipt] of early.entries()) this.#compare(ordinal, receipt, index === 0);
  }

  /** Receipts must come in the order of each partition. */
  receive(event: ReceivedEvent, atMs: number): void {
    const ordinal = this.#ordinalOf(event.eventId);
    const isFirst = this.#isReceived[ordinal] !== true;
    this.#isReceived[ordinal] = true;
    if (isFirst) this.#firstReceipts.push(ordinal);
    else this.#duplicates += 1;
    if (this.#aggregateOf[ordinal] !== notCommitted) this.#compare(ordinal, { event, atMs }, isFirst);
    else this.#early.set(ordinal, [...(this.#early.get(ordinal) ?? []), { event, atMs }]);
  }

  /** The verdict on all that was told so far. */
  audit(): Audit {
    const inversions = this.#countInversions();
    this.#findExample("missing", (ordinal) => this.#isReceived[ordinal] !== true);
    this.#findExample("phantom", (ordinal) => this.#aggregateOf[ordinal] === notCommitted);
    return {
      committed: this.#committed,
      published: this.#published,
      missing: this.#committed - this.#published,
      phantom: this.#early.size,
      inversions,
      duplicates: this.#duplicates,
      corrupted: this.#corrupted,
      misaddressed: this.#misaddressed,
      split: this.#split.size,
      latencyMs: this.#latency.summary(),
      examples: { ...this.#examples },
    };
  }

  #ordinalOf(eventId: string): number {
    const known = this.#ordinals.get(eventId);
    if (known !== undefined) return known;
    const ordinal = this.#ordinals.size;
    this.#ordinals.set(eventId, ordinal);
    this.#aggregateOf.push(notCommitted);
    this.#isReceived.push(false);
    for (const column of [this.#createdAt, this.#seq, this.#payloadDigest, this.#envelopeDigest])
      column.push(0);
    this.#committedAtMs.push(0);
    return ordinal;
  }

  #aggregateIndex(aggregateId: string): number {
    const index = this.#aggregates.get(aggregateId) ?? this.#aggregates.size;
    this.#aggregates.set(aggregateId, index);
    return index;
  }

  /** One receipt of a committed event against what was committed. */
  #compare(ordinal: number, { event, atMs }: Receipt, isFirst: boolean): void {
    const aggregate = this.#aggregateOf[ordinal] ?? notCommitted;
    if (isFirst) {
      this.#published += 1;
      this.#latency.record(atMs - (this.#committedAtMs[ordinal] ?? atMs));
    }
    if (event.payloadDigest !== this.#payloadDigest[ordinal]) {
      this.#corrupted += 1;
      this.#examples.corrupted ??= event.eventId;
    }
    const isAddressed =
      this.#aggregates.get(event.key) === aggregate &&
      event.createdAtMicros === this.#createdAt[ordinal] &&
      event.envelopeDigest === this.#envelopeDigest[ordinal];
    if (!isAddressed) {
      this.#misaddressed += 1;
      this.#examples.misaddressed ??= event.eventId;
    }
    const home = this.#partitionOf.get(aggregate) ?? event.partition;
    this.#partitionOf.set(aggregate, home);
    if (home !== event.partition) {
      this.#split.add(aggregate);
      this.#examples.split ??= event.eventId;
    }
  }

  /** First receipts that came after one of the same aggregate with a higher position. */
  #countInversions(): number {
    const highest = new Map<number, number>();
    let inversions = 0;
    for (const ordinal of this.#firstReceipts) {
      const aggregate = this.#aggregateOf[ordinal] ?? notCommitted;
      if (aggregate === notCommitted) continue;
      const top = highest.get(aggregate);
      if (top === undefined || this.#isBefore(top, ordinal)) highest.set(aggregate, ordinal);
      else {
        inversions += 1;
        if (inversions === 1) this.#findExample("inversions", (candidate) => candidate === ordinal);
      }
    }
    return inversions;
  }

  #isBefore(a: number, b: number): boolean {
    const difference = (this.#createdAt[a] ?? 0) - (this.#createdAt[b] ?? 0);
    return difference === 0 ? (this.#seq[a] ?? 0) < (this.#seq[b] ?? 0) : difference < 0;
  }

  #findExample(kind: FaultKind, isFaulty: (ordinal: number) => boolean): void {
    for (const [eventId, ordinal] of this.#ordinals) {
      if (!isFaulty(ordinal)) continue;
      this.#examples[kind] = eventId;
      return;
    }
  }
}
