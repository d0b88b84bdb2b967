/**
 * Publishing, as a port. A publisher is handed one batch at a time and says for each event what the
 * broker said. It keeps the lane law: when an event fails, no later event of the same aggregate is
 * sent after it in the same call (they come back as `held`).
 *
 * `publish` never rejects for something the broker or the network did: that is an `unknown` with a
 * `trouble`. It always settles; a call that cannot settle in time ends the process (PUBLISH_STUCK),
 * because a send that was abandoned may still be carried out behind our back.
 */
import type { Report } from "../event/delivery.ts";
import type { Message } from "../event/message.ts";

/** Something a publisher's client library had to say, for the log. Never a payload, never a secret. */
export interface PublisherRemark {
  readonly level: "debug" | "warn";
  readonly message: string;
}

export interface Publisher {
  /**
   * Connects. Throws BROKER_UNAVAILABLE (retriable) or BROKER_REFUSED; may be called again after
   * either. A call while connected does nothing.
   */
  connect(): Promise<void>;
  /** One outstanding call at a time. Every event of `messages` is in exactly one list of the report. */
  publish(messages: readonly Message[]): Promise<Report>;
  /** Resolves when nothing of it runs any more. Idempotent. */
  close(): Promise<void>;
}
