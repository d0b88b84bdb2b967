/** One of each announcement. Everything in it that must not show up where it does not belong says "canary". */
import type { Announcement, AnnouncementType } from "../../src/relay/announcements.ts";
import { PublishedBatch } from "../../src/relay/published-batch.ts";
import { aMessage } from "./messages.ts";

const rejection = {
  aggregateId: "canary-aggregate",
  eventId: "canary-event",
  reason: "broker-refused",
  message: "canary sentence",
  attempts: 2,
} as const;

const writer = { pid: 12, transaction: "canary/1", heldMs: 5_000 } as const;

/** A batch of every outcome, one of them sent again. */
function aBatch(): PublishedBatch {
  const messages = ["acked", "rejected", "unknown"].map((aggregateId) =>
    aMessage({ topic: "a-topic", aggregateId, value: "canary payload", headers: { note: "canary header" } }),
  );
  const [acked, rejected, unknown] = messages.map(({ event }) => event);
  if (acked === undefined || rejected === undefined || unknown === undefined)
    throw new Error("three were made");
  const rejections = [{ event: rejected, reason: "broker-refused", message: "no" }] as const;
  return new PublishedBatch(messages, { rejections, unknowns: [unknown], held: [] }, new Set([acked]));
}

export function everyAnnouncement(): Announcement[] {
  const all: { readonly [T in AnnouncementType]: Omit<Extract<Announcement, { type: T }>, "type"> } = {
    "relay-started": {},
    "relay-stopping": {},
    "relay-stopped": { publishedTotal: 1, removedTotal: 1 },
    polled: { events: 1, bytes: 10, fenceLagMs: 2, databaseClockMs: 1_700_000_000_000, durationMs: 3 },
    "batch-published": { events: 1, rejected: 1, unknown: 1, resent: 1, durationMs: 4, batch: aBatch() },
    "batch-removed": { events: 1, gone: 1, durationMs: 2 },
    "batch-resolved": { group: 1, number: 5, events: 2, isCommitted: true },
    "batch-in-doubt": { group: 1, eventIds: ["canary-event"] },
    "events-dropped": { rejected: 1, unknown: 1, eventIds: ["canary-event"], message: "canary sentence" },
    "outbox-lost": { message: "canary sentence" },
    "outbox-back": { outageMs: 100 },
    "broker-lost": { message: "canary sentence" },
    "broker-back": { outageMs: 100 },
    "leases-changed": { held: 32, members: 2, taken: ["1:5"], lost: ["2:6"], handedBack: ["3:7"] },
    "lease-round-failed": { message: "canary sentence" },
    "aggregate-blocked": { ...rejection, retryInMs: 100 },
    "aggregate-unblocked": { aggregateId: "canary-aggregate", attempts: 2 },
    "event-dead-lettered": rejection,
    "blocked-limit-reached": { blocked: 10 },
    "fence-held": { ...writer, application: "canary application" },
    "fence-passed": writer,
    "late-events": { events: 1 },
    "dispatch-started": {},
    "dispatch-finished": { events: 1, skipped: 1, durationMs: 10 },
    "dispatch-skipped": { openForMs: 10 },
    "dispatch-missed": { ticks: 1, firstDueAt: "2026-01-01T00:00:00Z", lastDueAt: "2026-01-01T00:00:00Z" },
    swept: {},
    "backlog-counted": { events: 1, isMore: true, oldestAgeMs: 10 },
    "inbox-pruned": { rows: 1 },
    "inbox-unprunable": { obstacle: "missing" },
  };
  return Object.entries(all).map(([type, fields]) => ({ type, ...fields }) as Announcement);
}
