/**
 * The book of batches, as a port: what a relay is about to publish is written down before it does. The
 * modes exactly-once and at-most-once need it to know, after a crash, which events were in the last batch.
 *
 *     settled ──enter N──► open N ──enter N+1──► open N+1 ──close──► settled
 *
 * One page a shard group, with the number of its last batch and, until its fate is known, the ids of its
 * events. Numbers only grow. Every line names the term under which it is written, and a page belongs to
 * the highest term that has ever been shown to it: a relay that slept through the end of its lease can
 * neither write a batch nor delete a row.
 *
 * Writing down batch N+1 and deleting the rows of batch N is one statement, so between two batches there is
 * never a moment in which rows are published and nobody knows it.
 */
import type { Progress } from "../event/delivery.ts";
import type { OutboxEvent } from "../event/event.ts";

export const deliveries = ["at-least-once", "at-most-once", "exactly-once"] as const;
export type Delivery = (typeof deliveries)[number];

/** Who writes: a page, and the term of the lease on its group. */
export interface Seat {
  readonly group: number;
  /** The fencing token, a bigint as decimal text. */
  readonly term: string;
}

/** What a page says to the relay that takes it over. */
export interface Page {
  /** Of the last batch; 0 before the first. */
  readonly number: number;
  /** Null when nothing is open: the fate of the last batch is known and acted on. */
  readonly open: { readonly eventIds: readonly string[]; readonly delivery: Delivery } | null;
}

/** A row as it can be deleted: with the place where it was read, if that is known. */
export type RemovableRow = Pick<OutboxEvent, "eventId"> & Partial<Pick<OutboxEvent, "rowHint">>;

/** A batch that the broker has committed, whose rows can go. */
export interface SettledBatch {
  readonly number: number;
  readonly rows: readonly RemovableRow[];
  /** Not below `number`. */
  readonly progress: Progress;
}

export interface Batch {
  readonly number: number;
  readonly rows: readonly RemovableRow[];
}

/**
 * Every call is one statement in a transaction of its own, and throws OUTBOX_UNAVAILABLE (retriable) when
 * PostgreSQL is away. A call may be repeated when its answer was lost. Null means that a later term has
 * the page, or a higher number is on it: nothing was changed, and nothing will be.
 */
export interface BatchBook {
  /** Names this outbox in Kafka; the same for all its relays, for ever. */
  identity(): Promise<string>;
  /** From now on no lower term can write on this page. */
  takeOver(seat: Seat): Promise<Page | null>;
  /** Opens a batch for exactly-once, and deletes the rows of the one before; returns how many. */
  enter(seat: Seat, batch: Batch, settled: SettledBatch | null): Promise<number | null>;
  /** Opens a batch for at-most-once and deletes its own rows, before anything is published of it. */
  enterAndRemove(seat: Seat, batch: Batch): Promise<number | null>;
  /** Nothing is open any more under this number; deletes the rows of a settled batch. */
  close(seat: Seat, number: number, settled: SettledBatch | null): Promise<number | null>;
  end(): Promise<void>;
}
