/**
 * The line of at-least-once delivery: publish a batch, remove what was acked. One batch is published
 * at a time; what was acked before is removed meanwhile. So at most as much as two batches may have is "out",
 * acked but not removed or of unknown outcome, and a crash repeats at most that.
 *
 *     claim N+1 ─────────────►│ claim N+2 ────────────►│
 *     publish N ─────────────►│ publish N+1 ──────────►│
 *     remove N-1 ─────────►│  │ remove N ───────────►│ │      small batches go together: removals.ts
 *
 * An unknown outcome is published again, the same events in the same order, until the broker has
 * said yes or no. Nothing else of those aggregates is published before.
 */
import type { Rejection, Report } from "../event/delivery.ts";
import type { OutboxEvent } from "../event/event.ts";
import type { Message } from "../event/message.ts";
import type { Outbox } from "../outbox/outbox.ts";
import type { Publisher } from "../publisher/publisher.ts";
import { keepEvents, withinShards } from "./lanes.ts";
import { awaitBroker, type Line, type LineOwner, type LineParts, type LineTotals } from "./line.ts";
import { Outage } from "./outage.ts";
import { PublishedBatch } from "./published-batch.ts";
import { type BatchBounds, Removals } from "./removals.ts";

export interface DeliveryParts extends LineParts {
  readonly outbox: Outbox;
  readonly publisher: Publisher;
  readonly bounds: BatchBounds;
}

export class DeliveryLine implements Line {
  readonly gatherMs = 0;
  readonly #parts: DeliveryParts;
  readonly #signal: AbortSignal;
  readonly #brokerOutage: Outage;
  readonly #removals: Removals;
  #publishedTotal = 0;

  constructor(parts: DeliveryParts, { timing, signal, beat }: LineOwner) {
    this.#parts = parts;
    this.#signal = signal;
    this.#brokerOutage = new Outage("broker", { ...parts, beat }, timing);
    this.#removals = new Removals(parts, new Outage("outbox", { ...parts, beat }, timing), signal);
  }

  get totals(): LineTotals {
    return { publishedTotal: this.#publishedTotal, removedTotal: this.#removals.removedTotal };
  }

  get isBusy(): boolean {
    return this.#removals.isUnderWay;
  }

  async connect(failFast: boolean): Promise<void> {
    const { publisher } = this.#parts;
    await awaitBroker(() => publisher.connect(), this.#brokerOutage, this.#signal, failFast);
  }

  /** Rows are deleted after they were published, so there is nothing that could have been left open. */
  async takeOver(): Promise<boolean> {
    return true;
  }

  async publish(
    messages: readonly Message[],
    mayPublish: (shard: number) => boolean,
  ): Promise<readonly Rejection[]> {
    const rejections: Rejection[] = [];
    const doubtful = new Set<OutboxEvent>();
    let rest: readonly Message[] = messages;
    for (;;) {
      rest = withinShards(rest, mayPublish);
      if (rest.length === 0) break;
      const report = await this.#publishOnce(rest, doubtful);
      rejections.push(...report.rejections);
      await this.#removals.add(report.acks);
      if (report.unknowns.length === 0) {
        this.#brokerOutage.end();
        break;
      }
      await this.#brokerOutage.wait(report.trouble ?? "the outcome is unknown", this.#signal);
      if (this.#signal.aborted) break;
      for (const event of report.unknowns) doubtful.add(event);
      // Held events behind an unknown one are due as well; behind a rejected one they stay.
      const stopped = new Set(report.rejections.map(({ event }) => event.aggregateId));
      const held = report.held.filter(({ aggregateId }) => !stopped.has(aggregateId));
      rest = keepEvents(rest, [...report.unknowns, ...held]);
    }
    return rejections;
  }

  async #publishOnce(messages: readonly Message[], doubtful: ReadonlySet<OutboxEvent>): Promise<Report> {
    const { clock, publisher, announcements } = this.#parts;
    const startedMs = clock.monotonicMs();
    const report = await publisher.publish(messages);
    this.#publishedTotal += report.acks.length;
    const batch = new PublishedBatch(messages, report, doubtful);
    announcements.announce({
      type: "batch-published",
      events: report.acks.length,
      rejected: report.rejections.length,
      unknown: report.unknowns.length,
      resent: batch.resentCount,
      durationMs: clock.monotonicMs() - startedMs,
      batch,
    });
    return report;
  }

  /** Removals are under way as soon as there are acks. */
  async rest(): Promise<void> {}

  settle(): Promise<void> {
    return this.#removals.settle();
  }
}
