/**
 * The line of at-most-once delivery, for one shard group: rows are deleted, and that is committed, before
 * anything is published. What then fails is not tried again; it is counted and named.
 *
 *     PostgreSQL   enter N and delete its rows ─┐             ┌─ enter N+1 … or close N
 *     Kafka                                     └─ publish N ─┘
 *
 * A relay that is killed in between leaves batch N open on its page of the book. Whoever takes over reports
 * its events as in doubt: some of them may have been published, and none will be published again.
 *
 * A broker that is known to be away costs nothing: the rows are only deleted with a connection at hand.
 */
import type { Rejection, Report } from "../event/delivery.ts";
import type { OutboxEvent } from "../event/event.ts";
import type { Message } from "../event/message.ts";
import type { BatchBook, Seat } from "../outbox/batch-book.ts";
import type { Publisher } from "../publisher/publisher.ts";
import { keepEvents, withinShards } from "./lanes.ts";
import { awaitBroker, insist, type Line, type LineOwner, type LineParts, type LineTotals } from "./line.ts";
import { Outage } from "./outage.ts";
import { PublishedBatch } from "./published-batch.ts";

export interface AtMostOnceParts extends LineParts {
  readonly group: number;
  /** The shard of the group whose term stands for the whole group. */
  readonly leadShard: number;
  readonly book: BatchBook;
  readonly publisher: Publisher;
}

export class AtMostOnceLine implements Line {
  readonly gatherMs = 0;
  readonly #parts: AtMostOnceParts;
  readonly #owner: LineOwner;
  readonly #bookOutage: Outage;
  readonly #brokerOutage: Outage;
  #seat: Seat | undefined;
  #number = 0;
  /** Everything of the last batch has its outcome, and its line is still open. */
  #isOpen = false;
  #isPublishing = false;
  #publishedTotal = 0;
  #removedTotal = 0;

  constructor(parts: AtMostOnceParts, owner: LineOwner) {
    this.#parts = parts;
    this.#owner = owner;
    this.#bookOutage = new Outage("outbox", { ...parts, beat: owner.beat }, owner.timing);
    this.#brokerOutage = new Outage("broker", { ...parts, beat: owner.beat }, owner.timing);
  }

  get totals(): LineTotals {
    return { publishedTotal: this.#publishedTotal, removedTotal: this.#removedTotal };
  }

  get isBusy(): boolean {
    return this.#isOpen;
  }

  async connect(failFast: boolean): Promise<void> {
    const { publisher } = this.#parts;
    await awaitBroker(() => publisher.connect(), this.#brokerOutage, this.#owner.signal, failFast);
  }

  async takeOver(): Promise<boolean> {
    const { leadShard, group, book, announcements } = this.#parts;
    const { signal, holding } = this.#owner;
    this.#seat = undefined;
    this.#isOpen = false;
    const term = holding.termOf(leadShard);
    if (term === undefined) return false;
    const seat = { group, term };
    const page = await insist(() => book.takeOver(seat), this.#bookOutage, signal);
    if (page === undefined || page === null) return false;
    if (page.open !== null) {
      // What exactly-once left open may be in Kafka: then it must not be published again, so it goes too.
      announcements.announce({ type: "batch-in-doubt", group, eventIds: page.open.eventIds });
      const rows = page.open.eventIds.map((eventId) => ({ eventId }));
      const discard = () => book.enterAndRemove(seat, { number: page.number, rows });
      const removed = await insist(discard, this.#bookOutage, signal);
      const close = () => book.close(seat, page.number, null);
      const closed = removed === null ? null : await insist(close, this.#bookOutage, signal);
      if (closed === undefined || closed === null) return false;
    }
    this.#number = page.number;
    this.#seat = seat;
    return true;
  }

  async publish(
    messages: readonly Message[],
    mayPublish: (shard: number) => boolean,
  ): Promise<readonly Rejection[]> {
    this.#isPublishing = true;
    try {
      await this.connect(false);
      const batch = this.#owner.signal.aborted ? [] : withinShards(messages, mayPublish);
      if (batch.length > 0 && !(await this.#remove(batch))) this.#owner.abandon();
      else if (batch.length > 0) await this.#publish(batch);
      // Nothing blocks in this mode: what was rejected is gone.
      return [];
    } finally {
      this.#isPublishing = false;
    }
  }

  async #remove(batch: readonly Message[]): Promise<boolean> {
    const { book, clock, announcements } = this.#parts;
    const seat = this.#seat;
    if (seat === undefined) return false;
    const number = this.#number + 1;
    const rows = batch.map(({ event }) => event);
    const startedMs = clock.monotonicMs();
    const enter = () => book.enterAndRemove(seat, { number, rows });
    const removed = await insist(enter, this.#bookOutage, this.#owner.signal);
    if (removed === undefined || removed === null) {
      this.#seat = undefined;
      return false;
    }
    this.#number = number;
    this.#isOpen = true;
    this.#removedTotal += removed;
    const durationMs = clock.monotonicMs() - startedMs;
    announcements.announce({
      type: "batch-removed",
      events: removed,
      gone: rows.length - removed,
      durationMs,
    });
    return true;
  }

  /** Once, and what was held behind a failure after it: its rows are gone, and it was never sent. */
  async #publish(batch: readonly Message[]): Promise<void> {
    const { clock, publisher } = this.#parts;
    for (let rest = batch; rest.length > 0; ) {
      const startedMs = clock.monotonicMs();
      const report = await publisher.publish(rest);
      this.#tell(rest, report, clock.monotonicMs() - startedMs);
      rest = keepEvents(rest, report.held);
    }
  }

  #tell(messages: readonly Message[], report: Report, durationMs: number): void {
    const { announcements } = this.#parts;
    const { acks, rejections, unknowns, trouble } = report;
    const batch = new PublishedBatch(messages, report);
    this.#publishedTotal += acks.length;
    const counts = { rejected: rejections.length, unknown: unknowns.length };
    announcements.announce({
      type: "batch-published",
      events: acks.length,
      ...counts,
      resent: 0,
      durationMs,
      batch,
    });
    const lost: readonly OutboxEvent[] = [...rejections.map(({ event }) => event), ...unknowns];
    if (lost.length === 0) return;
    const message = trouble ?? rejections[0]?.message ?? "";
    const eventIds = lost.map(({ eventId }) => eventId);
    announcements.announce({ type: "events-dropped", ...counts, eventIds, message });
  }

  async rest(): Promise<void> {
    const seat = this.#seat;
    if (this.#isPublishing || seat === undefined || !this.#isOpen) return;
    this.#isOpen = false;
    const close = () => this.#parts.book.close(seat, this.#number, null);
    const closed = await insist(close, this.#bookOutage, this.#owner.signal);
    if (closed === null) this.#seat = undefined;
  }

  settle(): Promise<void> {
    return this.rest();
  }
}
