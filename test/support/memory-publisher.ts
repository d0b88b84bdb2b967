/** A publisher that keeps what it is given, and fails where it is told to. Held to the same contract. */
import type { RejectionReason, Report } from "../../src/event/delivery.ts";
import type { Message } from "../../src/event/message.ts";
import { OutriderError } from "../../src/foundation/errors.ts";
import type { Publisher } from "../../src/publisher/publisher.ts";
import { ReportDraft } from "../../src/publisher/report-draft.ts";

/** What becomes of a message; `lost-answer` is written, but its outcome stays unknown. */
export type Fate = "ack" | "unknown" | "lost-answer" | RejectionReason;

export class MemoryPublisher implements Publisher {
  readonly written: Message[] = [];
  /** Asked for each message that is tried, in order. */
  fateOf: (message: Message) => Fate = () => "ack";
  /** While false, `connect` throws and everything is unknown. */
  isReachable = true;
  #isClosed = false;

  async connect(): Promise<void> {
    if (!this.isReachable) throw new OutriderError("BROKER_UNAVAILABLE", "out of reach", { retriable: true });
  }

  async publish(messages: readonly Message[]): Promise<Report> {
    if (this.#isClosed) throw new OutriderError("INVARIANT", "this publisher was closed");
    const draft = new ReportDraft();
    for (const message of messages) {
      if (draft.isStopped(message.event)) draft.hold(message.event);
      else this.#try(message, draft);
    }
    return draft.finish();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #try(message: Message, draft: ReportDraft): void {
    const fate = this.isReachable ? this.fateOf(message) : "unknown";
    if (fate === "ack" || fate === "lost-answer") this.written.push(message);
    if (fate === "ack") draft.ack(message.event);
    else if (fate === "unknown" || fate === "lost-answer") draft.leaveUnknown(message.event, "no answer");
    else draft.reject(message.event, fate, "as the test wants it");
  }
}
