/**
 * The lane law, pure: inside a batch the events of one aggregate form a lane, and a lane stops at its
 * first failure. This is rule (d) of the four that keep first occurrences in order under any crash:
 *
 * (a) a claim is an ordered prefix, per aggregate, of the rows still there;
 * (b) one unresolved batch per aggregate;
 * (c) only what was acknowledged is deleted;
 * (d) an aggregate stops at its first failure.
 */
import type { Rejection } from "../event/delivery.ts";
import type { OutboxEvent } from "../event/event.ts";
import { isMessage, type Message, type Routing, toMessage } from "../event/message.ts";

export interface Batch {
  readonly messages: readonly Message[];
  /** Events that cannot even be translated, one per aggregate: the first of its lane that failed. */
  readonly unpublishable: readonly Rejection[];
}

/** Translates claimed events, leaving out whatever stands behind a broken or blocked head. */
export function formBatch(
  events: readonly OutboxEvent[],
  routing: Routing,
  isBlocked: (aggregateId: string) => boolean,
): Batch {
  const messages: Message[] = [];
  const unpublishable = new Map<string, Rejection>();
  for (const event of events) {
    if (unpublishable.has(event.aggregateId) || isBlocked(event.aggregateId)) continue;
    const made = toMessage(event, routing);
    if (isMessage(made)) messages.push(made);
    else unpublishable.set(event.aggregateId, made);
  }
  return { messages, unpublishable: [...unpublishable.values()] };
}

/** The messages that are still to be sent, in their order: those whose events are in `events`. */
export function keepEvents(messages: readonly Message[], events: readonly OutboxEvent[]): Message[] {
  const kept = new Set(events);
  return messages.filter(({ event }) => kept.has(event));
}

/** The messages that stand before the rejected event of their lane, or whose lane has none. */
export function beforeRejected(
  messages: readonly Message[],
  rejections: readonly Rejection[],
): readonly Message[] {
  if (rejections.length === 0) return messages;
  const rejected = new Set(rejections.map(({ event }) => event));
  const ended = new Set<string>();
  return messages.filter(({ event }) => {
    if (rejected.has(event)) ended.add(event.aggregateId);
    return !ended.has(event.aggregateId);
  });
}

/** The messages whose aggregate is not blocked, in their order. */
export function withoutBlocked(
  messages: readonly Message[],
  isBlocked: (aggregateId: string) => boolean,
): readonly Message[] {
  return messages.some(({ key }) => isBlocked(key))
    ? messages.filter(({ key }) => !isBlocked(key))
    : messages;
}

/** The messages of shards that may be published, in their order; the very list when all may. */
export function withinShards(
  messages: readonly Message[],
  mayPublish: (shard: number) => boolean,
): readonly Message[] {
  const shards = new Set(messages.map(({ event }) => event.shard));
  const barred = new Set([...shards].filter((shard) => !mayPublish(shard)));
  return barred.size === 0 ? messages : messages.filter(({ event }) => !barred.has(event.shard));
}
