/**
 * A report in the making. It keeps the lane law for its publisher: an aggregate stops at its first
 * failure, and everything later of it is held.
 */
import { acknowledge } from "../event/acknowledgement.ts";
import type { Ack, Rejection, RejectionReason, Report } from "../event/delivery.ts";
import type { OutboxEvent } from "../event/event.ts";

export class ReportDraft {
  readonly #acks: Ack[] = [];
  readonly #rejections: Rejection[] = [];
  readonly #unknowns: OutboxEvent[] = [];
  readonly #held: OutboxEvent[] = [];
  readonly #stopped = new Set<string>();
  #trouble: string | undefined;

  /** Whether an earlier event of this one's aggregate failed, so that this one must not be sent. */
  isStopped({ aggregateId }: OutboxEvent): boolean {
    return this.#stopped.has(aggregateId);
  }

  ack(event: OutboxEvent): void {
    this.#acks.push(acknowledge(event));
  }

  /** Rejected, and its aggregate stops here; held, if it had stopped before. */
  reject(event: OutboxEvent, reason: RejectionReason, message: string): void {
    if (this.isStopped(event)) {
      this.hold(event);
      return;
    }
    this.#stopped.add(event.aggregateId);
    this.#rejections.push({ event, reason, message });
  }

  /** Maybe written, maybe not. The first trouble of a report is the one it tells. */
  leaveUnknown(event: OutboxEvent, trouble: string): void {
    this.#trouble ??= trouble;
    this.#stopped.add(event.aggregateId);
    this.#unknowns.push(event);
  }

  hold(event: OutboxEvent): void {
    this.#held.push(event);
  }

  finish(): Report {
    return {
      acks: this.#acks,
      rejections: this.#rejections,
      unknowns: this.#unknowns,
      held: this.#held,
      ...(this.#trouble === undefined ? undefined : { trouble: this.#trouble }),
    };
  }
}
