/**
 * Deletes what was acked, one statement at a time. What is acked meanwhile goes with the next one, so that many
 * small batches cost few statements, and a batch need not wait for the disk on which the one before it is
 * being deleted.
 *
 *     acked    a ─► b ─► c ─► d ─►
 *     deleted  [ a    ][ b c ][ d …
 *
 * In a stream of small transactions a statement begins some milliseconds after the one before at the soonest, unless
 * somebody waits for it: each is a transaction with a commit of its own, which would be as many again as the
 * writers have.
 *
 * What is acked and not deleted is what a crash publishes again. When the next batch is published, it is never more
 * than one batch may have.
 */
import type { Ack } from "../event/delivery.ts";
import type { Outbox } from "../outbox/outbox.ts";
import type { ClaimSizes } from "./claims.ts";
import { insist, type LineParts } from "./line.ts";
import type { Outage } from "./outage.ts";

/** What one batch may have. */
export type BatchBounds = Pick<ClaimSizes, "batchEventsMax" | "batchBytesMax">;

export interface RemovalsParts extends LineParts {
  readonly outbox: Outbox;
  readonly bounds: BatchBounds;
}

/** From the begin of one statement to that of the next, while nobody waits. */
const spacingMs = 10;

export class Removals {
  readonly #parts: RemovalsParts;
  readonly #outage: Outage;
  readonly #signal: AbortSignal;
  /** Acked, and no statement is under way for them yet. */
  #pile: Ack[] = [];
  /** A statement, or the pause before it. */
  #isUnderWay = false;
  #begunMs = Number.NEGATIVE_INFINITY;
  /** Ends that pause. */
  #rush: () => void = () => {};
  #current: Promise<void> = Promise.resolve();
  #events = 0;
  #bytes = 0;
  #removedTotal = 0;
  #fault: unknown;

  constructor(parts: RemovalsParts, outage: Outage, signal: AbortSignal) {
    this.#parts = parts;
    this.#outage = outage;
    this.#signal = signal;
  }

  /** Something acked is not deleted yet. */
  get isUnderWay(): boolean {
    return this.#isUnderWay;
  }

  get removedTotal(): number {
    return this.#removedTotal;
  }

  /** Resolves when another batch may be published. Rejects with what is wrong with this program. */
  async add(acks: readonly Ack[]): Promise<void> {
    if (acks.length === 0) return;
    const { batchEventsMax, batchBytesMax } = this.#parts.bounds;
    const bytes = bytesOf(acks);
    this.#events += acks.length;
    this.#bytes += bytes;
    for (const ack of acks) this.#pile.push(ack);
    this.#begin();
    // One batch alone may have more bytes than the bound: its last event is what goes over it.
    const bytesMax = Math.max(batchBytesMax, bytes);
    while (this.#events > batchEventsMax || this.#bytes > bytesMax) await this.#rushed();
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** Resolves when nothing is left to delete (or, when stopping, when it was given up until the restart). */
  async settle(): Promise<void> {
    while (this.#isUnderWay) await this.#rushed();
  }

  #rushed(): Promise<void> {
    this.#rush();
    return this.#current;
  }

  #begin(): void {
    if (this.#isUnderWay || this.#pile.length === 0) return;
    this.#isUnderWay = true;
    this.#current = this.#removePile().then(() => {
      this.#isUnderWay = false;
      this.#begin();
    });
    // A bug in there: nothing is deleted any more, and whoever comes next is told.
    this.#current.catch((fault) => {
      this.#fault = fault;
    });
  }

  async #removePile(): Promise<void> {
    const { clock } = this.#parts;
    const earlyMs = this.#begunMs + spacingMs - clock.monotonicMs();
    if (earlyMs > 0) await this.#pause(earlyMs);
    this.#begunMs = clock.monotonicMs();
    const acks = this.#pile;
    this.#pile = [];
    await this.#remove(acks);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const silence = this.#parts.clock.alarm(ms, resolve);
      this.#rush = () => {
        silence();
        resolve();
      };
    });
  }

  /** Repeats until PostgreSQL has answered: a delete whose answer was lost finds nothing the second time. */
  async #remove(acks: readonly Ack[]): Promise<void> {
    const { clock, outbox, announcements } = this.#parts;
    const startedMs = clock.monotonicMs();
    const removed = await insist(() => outbox.remove(acks), this.#outage, this.#signal);
    this.#events -= acks.length;
    this.#bytes -= bytesOf(acks);
    if (removed === undefined) return;
    this.#removedTotal += removed;
    const durationMs = clock.monotonicMs() - startedMs;
    announcements.announce({
      type: "batch-removed",
      events: removed,
      gone: acks.length - removed,
      durationMs,
    });
  }
}

function bytesOf(acks: readonly Ack[]): number {
  return acks.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);
}
