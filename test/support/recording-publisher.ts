/** A publisher that acks everything and remembers the order in which it was handed the events. */
import { acknowledge } from "../../src/event/acknowledgement.ts";
import type { Report } from "../../src/event/delivery.ts";
import type { OutboxEvent } from "../../src/event/event.ts";
import type { Message } from "../../src/event/message.ts";
import type { Publisher } from "../../src/publisher/publisher.ts";

export class RecordingPublisher implements Publisher {
  readonly published: OutboxEvent[] = [];

  async connect(): Promise<void> {}

  async publish(messages: readonly Message[]): Promise<Report> {
    for (const { event } of messages) this.published.push(event);
    return { acks: messages.map(({ event }) => acknowledge(event)), rejections: [], unknowns: [], held: [] };
  }

  async close(): Promise<void> {}
}
