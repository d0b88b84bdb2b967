/** Makes messages as the relay hands them to a publisher; positions and ids count up. */
import { acknowledge } from "../../src/event/acknowledgement.ts";
import type { Ack } from "../../src/event/delivery.ts";
import type { Message } from "../../src/event/message.ts";
import { anEvent } from "./events.ts";

let made = 0;

export interface GivenMessage {
  readonly topic: string;
  readonly aggregateId: string;
  readonly value?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export function aMessage({ topic, aggregateId, value = '{"n":1}', headers = {} }: GivenMessage): Message {
  made += 1;
  const event = anEvent({ aggregateId, seq: String(made), at: 1_700_000_000_000_000 + made, topic });
  return {
    event,
    topic,
    key: aggregateId,
    value,
    headers: { ...headers, event_id: event.eventId },
    timestamp: "1700000000000",
  };
}

/** What a publisher answers when these, and no others, were accepted. */
export function acksOf(...messages: readonly (Message | undefined)[]): readonly Ack[] {
  return messages.map((message) => acknowledge((message as Message).event));
}
