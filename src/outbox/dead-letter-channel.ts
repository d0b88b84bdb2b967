/**
 * What the broker would not have, as two ports over the same two tables.
 *
 *                    rejected                attemptsMax reached
 *     undispatched ────────────► blocked ──────(policy dead-letter)─────► dead letter
 *          ▲                        │                                      │       │
 *          │    accepted, or gone   │               redrive                │       │ discard
 *          └────────────────────────┴──────────────────────────────────────┘       ▼
 *                                                                                nothing
 *
 * A blocked event stays where it is: only its reason and its count are written down, so that they
 * survive a restart and the takeover by another relay. A dead letter has left the outbox, and the rest
 * of its aggregate goes on without it.
 *
 * An event is in exactly one of the outbox and the dead letters at any moment: each move is a single
 * statement. Every call may be repeated after an answer that was lost.
 *
 * A redriven event keeps its event_id, so consumers still recognise it, but gets a new position: with
 * its old one it would appear behind the fence, where a relay has looked already.
 */
import type { RejectionReason } from "../event/delivery.ts";
import type { Position } from "../event/position.ts";

/** Why an event was refused, and how often. */
export interface Refusal {
  readonly eventId: string;
  readonly reason: RejectionReason;
  /** For a person; never a part of the payload. */
  readonly message: string;
  readonly attempts: number;
}

/** A block as it is written down. */
export interface BlockRecord extends Refusal, Position {
  readonly aggregateId: string;
  readonly shard: number;
}

/** The relay's side. Every call throws OUTBOX_UNAVAILABLE (retriable) when PostgreSQL is away. */
export interface RejectionLedger {
  /** The blocks of these shards whose events still wait; those whose events are gone are forgotten. */
  load(shards: readonly number[]): Promise<readonly BlockRecord[]>;
  /** Writes blocks down, or again with a higher count; a lower count than the written one changes nothing. */
  remember(blocks: readonly BlockRecord[]): Promise<void>;
  forget(eventIds: readonly string[]): Promise<void>;
  /** Moves these events out of the outbox; returns the ids of those that were still in it. */
  deadLetter(refusals: readonly Refusal[]): Promise<readonly string[]>;
}

export interface DeadLetter extends Refusal, Position {
  readonly aggregateId: string;
  readonly eventType: string | null;
  readonly aggregateType: string | null;
  readonly topic: string | null;
  readonly payloadBytes: number;
  readonly deadAt: string;
}

/** A dead letter with all that it carries. */
export interface DeadLetterContent extends DeadLetter {
  readonly headers: string | null;
  readonly payload: string | Uint8Array;
}

/** What all of it asks for together; an empty one means every dead letter. */
export interface DeadLetterFilter {
  readonly eventIds?: readonly string[];
  readonly aggregateId?: string;
  readonly reason?: string;
  /** The topic that the event would go to, by its own column or by the rules for topics. */
  readonly topic?: string;
  /** Dead since this ISO time, itself included. */
  readonly since?: string;
}

/** Where a page begins: behind this dead letter. */
export type PageMark = Pick<DeadLetter, "createdAt" | "seq" | "eventId">;

export interface Page {
  readonly after: PageMark | undefined;
  readonly lettersMax: number;
}

/** What a batch of `redrive` or `discard` did with each letter that it chose, in their order. */
export interface MovedLetter extends PageMark {
  /** False for one that was left: its event_id is in the outbox again already, or someone was faster. */
  readonly isMoved: boolean;
}

export interface BlockedAggregate extends BlockRecord {
  readonly blockedAt: string;
  readonly retriedAt: string;
  /** Rows of this aggregate among the first `rowsMax` rows of its shard from the block on. */
  readonly waiting: number;
  /** True when there were more rows to look at. */
  readonly isMore: boolean;
}

/** The operator's side. Letters come in the order of their positions: so aggregate for aggregate, too. */
export interface DeadLetterChannel {
  list(filter: DeadLetterFilter, page: Page): Promise<readonly DeadLetter[]>;
  find(eventId: string): Promise<DeadLetterContent | undefined>;
  /** Puts one batch back into the outbox. `deadUntil`: leave out what died after this instant. */
  redrive(filter: DeadLetterFilter, page: Page, deadUntil: string): Promise<readonly MovedLetter[]>;
  /** Deletes one batch for ever. */
  discard(filter: DeadLetterFilter, page: Page, deadUntil: string): Promise<readonly MovedLetter[]>;
  /** Aggregates that wait now, the longest first. */
  blocked(aggregatesMax: number, rowsMax: number): Promise<readonly BlockedAggregate[]>;
  /** The database's clock as ISO text. */
  now(): Promise<string>;
}

export interface MoveTotals {
  readonly moved: number;
  readonly left: number;
}

/**
 * Moves all that match, batch by batch. Bounded by the clock at its start: an event that is redriven,
 * refused and dead again meanwhile would otherwise go round for ever.
 */
export async function moveAll(
  channel: DeadLetterChannel,
  verb: "redrive" | "discard",
  filter: DeadLetterFilter,
  lettersMax: number,
): Promise<MoveTotals> {
  const deadUntil = await channel.now();
  let [moved, left] = [0, 0];
  let after: PageMark | undefined;
  for (;;) {
    const letters = await channel[verb](filter, { after, lettersMax }, deadUntil);
    const movedNow = letters.filter(({ isMoved }) => isMoved).length;
    moved += movedNow;
    left += letters.length - movedNow;
    if (letters.length < lettersMax) return { moved, left };
    after = letters.at(-1);
  }
}
