/**
 * The line of exactly-once delivery, for one shard group. A batch is written down in PostgreSQL with its
 * number, published in one Kafka transaction together with that number, and its rows are deleted in the
 * same statement that writes the next batch down:
 *
 *     PostgreSQL   enter N, delete rows of N-1 ─┐            enter N+1, delete rows of N ─┐
 *     Kafka        send N ──────────────────────┴─ commit N  send N+1 ────────────────────┴─ commit N+1 …
 *
 * The batch is sent while it is written down, and committed when both are done: as long as a transaction is
 * open, nothing of it is visible, and whoever takes over aborts it. What is committed is on file.
 *
 * After anything but a clean commit nobody knows whether N is in Kafka, so nothing is believed and
 * everything is asked for again, in an order of which no step may move:
 *
 *     1  the page of the book is taken over: no earlier term writes a batch or deletes a row any more
 *     2  the producer is taken over: no earlier one commits any more
 *     3  the number that Kafka holds is read: N or above means that the batch is there
 *     4  the open batch is settled: its rows are deleted, or it is forgotten and they are claimed again
 *
 * The same four steps serve a crash, a lost lease, a broken connection and a refused event.
 */
import type { Progress, Rejection } from "../event/delivery.ts";
import type { Message } from "../event/message.ts";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import type { Batch, BatchBook, Page, Seat, SettledBatch } from "../outbox/batch-book.ts";
import type { CommitOutcome, TransactionalPublisher } from "../publisher/transactional-publisher.ts";
import { beforeRejected, keepEvents, withinShards } from "./lanes.ts";
import {
  awaitBroker,
  insist,
  isOutboxTrouble,
  type Line,
  type LineOwner,
  type LineParts,
  type LineTotals,
} from "./line.ts";
import { Outage } from "./outage.ts";
import { type Failures, PublishedBatch } from "./published-batch.ts";

export interface ExactlyOnceParts extends LineParts {
  readonly group: number;
  /** The shard of the group whose term stands for the whole group. */
  readonly leadShard: number;
  readonly book: BatchBook;
  readonly publisher: TransactionalPublisher;
  /** Go on although Kafka lost the number of the last batch: it may then be published twice. */
  readonly acceptDuplicates: boolean;
}

/** However slow the last transaction was: waiting for events must not become what makes them late. */
const gatherMaxMs = 50;

/** Of what the last transaction took: a longer pause costs more than the transactions that it spares. */
const gatherShare = 0.5;

/** Whether a batch is on file now; with trouble, nobody knows. */
type Entry = "entered" | "not ours" | { readonly trouble: string };

/** A batch that was handed to Kafka: committed, certainly not, or ours to know no more. */
type Fate = "committed" | "lost" | { readonly rejections: readonly Rejection[] };

export class ExactlyOnceLine implements Line {
  /** Half as long as the last transaction took. */
  gatherMs = 0;
  readonly #parts: ExactlyOnceParts;
  readonly #owner: LineOwner;
  readonly #bookOutage: Outage;
  readonly #brokerOutage: Outage;
  /** Undefined until the group is taken over, and again after any failure. */
  #seat: Seat | undefined;
  #number = 0;
  #progress = 0;
  /** Committed, with rows that are still there. */
  #settled: SettledBatch | null = null;
  #isPublishing = false;
  #publishedTotal = 0;
  #removedTotal = 0;

  constructor(parts: ExactlyOnceParts, owner: LineOwner) {
    this.#parts = parts;
    this.#owner = owner;
    this.#bookOutage = new Outage("outbox", { ...parts, beat: owner.beat }, owner.timing);
    this.#brokerOutage = new Outage("broker", { ...parts, beat: owner.beat }, owner.timing);
  }

  get totals(): LineTotals {
    return { publishedTotal: this.#publishedTotal, removedTotal: this.#removedTotal };
  }

  get isBusy(): boolean {
    return this.#settled !== null;
  }

  async connect(failFast: boolean): Promise<void> {
    const { publisher } = this.#parts;
    await awaitBroker(() => publisher.connect(), this.#brokerOutage, this.#owner.signal, failFast);
  }

  async takeOver(): Promise<boolean> {
    const { leadShard, group, publisher, book } = this.#parts;
    const { signal, holding } = this.#owner;
    this.#seat = undefined;
    this.#settled = null;
    while (!signal.aborted && holding.mayPublish(leadShard)) {
      const term = holding.termOf(leadShard);
      if (term === undefined) return false;
      const seat = { group, term };
      const page = await insist(() => book.takeOver(seat), this.#bookOutage, signal);
      if (page === undefined || page === null) return false;
      const progress = await this.#fence(() => publisher.takeOver());
      if (progress === undefined) continue;
      if (!(await this.#resolve(seat, page, progress))) return false;
      this.#number = Math.max(page.number, progress?.number ?? 0);
      if (progress !== null || (await this.#beginCount())) {
        this.#seat = seat;
        return true;
      }
    }
    return false;
  }

  /** One attempt, so that a group that is lost meanwhile is not fenced for ever; undefined when it failed. */
  async #fence(takeOver: () => Promise<Progress | null>): Promise<Progress | null | undefined> {
    try {
      const progress = await takeOver();
      this.#brokerOutage.end();
      return progress;
    } catch (error) {
      if (!(error instanceof OutriderError) || !error.retriable) throw error;
      await this.#brokerOutage.wait(error.message, this.#owner.signal);
      return undefined;
    }
  }

  /** Step 4. False when the page is not ours any more. Throws PROGRESS_MISSING. */
  async #resolve(seat: Seat, { number, open }: Page, progress: Progress | null): Promise<boolean> {
    this.#progress = progress?.number ?? 0;
    if (open === null) return true;
    const { group, announcements, acceptDuplicates } = this.#parts;
    const { eventIds } = open;
    let settled: SettledBatch | null = null;
    if (open.delivery === "exactly-once") {
      if (progress === null && !acceptDuplicates) throw progressMissing(group, number, eventIds.length);
      const isCommitted = progress !== null && number <= progress.number;
      if (isCommitted) settled = { number, rows: eventIds.map((eventId) => ({ eventId })), progress };
      announcements.announce({ type: "batch-resolved", group, number, events: eventIds.length, isCommitted });
    } else {
      announcements.announce({ type: "batch-in-doubt", group, eventIds });
    }
    return (await this.#close(seat, number, settled)) !== null;
  }

  /** The first use of this group, or Kafka forgot an old number with nothing open: from now on it has one. */
  async #beginCount(): Promise<boolean> {
    const outcome = await this.#parts.publisher.commit(this.#number, [], async () => true);
    if (outcome.kind === "committed") return true;
    await this.#brokerOutage.wait(outcome.trouble, this.#owner.signal);
    return false;
  }

  async publish(
    messages: readonly Message[],
    mayPublish: (shard: number) => boolean,
  ): Promise<readonly Rejection[]> {
    this.#isPublishing = true;
    try {
      return await this.#publish(messages, mayPublish);
    } finally {
      this.#isPublishing = false;
    }
  }

  async #publish(
    messages: readonly Message[],
    mayPublish: (shard: number) => boolean,
  ): Promise<readonly Rejection[]> {
    const rejections: Rejection[] = [];
    let rest = withinShards(messages, mayPublish);
    while (rest.length > 0 && !(this.#owner.signal.aborted && this.#seat === undefined)) {
      const { sendable, report } = await this.#parts.publisher.prepare(rest);
      const fate = sendable.length === 0 ? await this.#wait(report.trouble) : await this.#transact(sendable);
      if (fate === "lost") {
        this.#owner.abandon();
        break;
      }
      const refused = [...report.rejections, ...(fate === "committed" ? [] : fate.rejections)];
      rejections.push(...refused);
      const left = beforeRejected(rest, refused);
      rest = fate === "committed" ? keepEvents(left, [...report.unknowns, ...report.held]) : left;
      rest = withinShards(rest, mayPublish);
    }
    return rejections;
  }

  /** Nothing could be sent: all was rejected, or there is trouble, and then a new producer may know more. */
  async #wait(trouble: string | undefined): Promise<Fate> {
    if (trouble === undefined) return { rejections: [] };
    await this.#brokerOutage.wait(trouble, this.#owner.signal);
    return (await this.takeOver()) ? { rejections: [] } : "lost";
  }

  async #transact(sendable: readonly Message[]): Promise<Fate> {
    const { clock, publisher } = this.#parts;
    const seat = this.#seat;
    if (seat === undefined) return "lost";
    const number = this.#number + 1;
    const rows = sendable.map(({ event }) => event);
    const startedMs = clock.monotonicMs();
    const entering = this.#enter(seat, { number, rows });
    // What it rejects with is thrown below; until then nobody may wait for it.
    entering.catch(() => undefined);
    const outcome = await publisher.commit(number, sendable, async () => (await entering) === "entered");
    const entry = await entering;
    if (entry === "not ours") return this.#lose();
    if (entry !== "entered") {
      await this.#bookOutage.wait(entry.trouble, this.#owner.signal);
      return (await this.takeOver()) ? { rejections: [] } : this.#lose();
    }
    this.gatherMs = Math.min((clock.monotonicMs() - startedMs) * gatherShare, gatherMaxMs);
    if (outcome.kind === "committed") {
      this.#settled = { number, rows, progress: outcome.progress };
    } else {
      const isRefused = outcome.kind === "aborted" && outcome.isRefused;
      // Where the broker named a cause, there is nothing to wait for.
      if (!isRefused) await this.#brokerOutage.wait(outcome.trouble, this.#owner.signal);
      await this.takeOver();
    }
    // After a failure the takeover has found out: the batch was there, or it never will be.
    const isCommitted =
      outcome.kind === "committed" || (this.#seat !== undefined && this.#progress >= number);
    this.#tell(outcome, sendable, isCommitted, clock.monotonicMs() - startedMs);
    if (isCommitted) return "committed";
    if (this.#seat === undefined) return "lost";
    return { rejections: outcome.kind === "aborted" ? outcome.rejections : [] };
  }

  /** One attempt, because readers wait behind an open transaction: what it left behind, a takeover finds out. */
  async #enter(seat: Seat, batch: Batch): Promise<Entry> {
    const settled = this.#settled;
    let removed: number | null;
    try {
      removed = await this.#parts.book.enter(seat, batch, settled);
    } catch (error) {
      if (!isOutboxTrouble(error)) throw error;
      return { trouble: messageOf(error) };
    }
    if (removed === null) return "not ours";
    this.#bookOutage.end();
    this.#number = batch.number;
    this.#settled = null;
    this.#noteRemoved(settled, removed);
    return "entered";
  }

  #lose(): "lost" {
    this.#seat = undefined;
    return "lost";
  }

  #tell(
    outcome: CommitOutcome,
    messages: readonly Message[],
    isCommitted: boolean,
    durationMs: number,
  ): void {
    const acked = isCommitted ? messages.length : 0;
    const failures = failuresOf(outcome, messages, isCommitted);
    this.#publishedTotal += acked;
    this.#parts.announcements.announce({
      type: "batch-published",
      events: acked,
      rejected: failures.rejections.length,
      unknown: failures.unknowns.length,
      // Whatever was sent before was aborted, or this batch would not have been sent.
      resent: 0,
      durationMs,
      batch: new PublishedBatch(messages, failures),
    });
    if (isCommitted) this.#brokerOutage.end();
  }

  #noteRemoved(settled: SettledBatch | null, removed: number): void {
    if (settled === null) return;
    this.#removedTotal += removed;
    const gone = settled.rows.length - removed;
    this.#parts.announcements.announce({ type: "batch-removed", events: removed, gone, durationMs: 0 });
  }

  /** Nothing comes after the last batch: its rows go now. */
  async rest(): Promise<void> {
    const [seat, settled] = [this.#seat, this.#settled];
    // A batch that is being published takes these rows along, and its line in the book must not be undone.
    if (this.#isPublishing || seat === undefined || settled === null) return;
    this.#settled = null;
    if ((await this.#close(seat, settled.number, settled)) === null) this.#lose();
  }

  /** Deletes the rows of a committed batch, if there is one; null when the page is not ours, or at a stop. */
  async #close(seat: Seat, number: number, settled: SettledBatch | null): Promise<number | null> {
    const { book } = this.#parts;
    const removed = await insist(
      () => book.close(seat, number, settled),
      this.#bookOutage,
      this.#owner.signal,
    );
    if (removed !== undefined && removed !== null) this.#noteRemoved(settled, removed);
    return removed ?? null;
  }

  settle(): Promise<void> {
    return this.rest();
  }
}

/** All or nothing: what was not committed is held when the cause has a name, and unknown otherwise. */
function failuresOf(outcome: CommitOutcome, messages: readonly Message[], isCommitted: boolean): Failures {
  if (isCommitted) return { rejections: [], unknowns: [], held: [] };
  const rejections = outcome.kind === "aborted" ? outcome.rejections : [];
  const rejected = new Set(rejections.map(({ event }) => event));
  const rest = messages.flatMap(({ event }) => (rejected.has(event) ? [] : [event]));
  return rejections.length > 0
    ? { rejections, unknowns: [], held: rest }
    : { rejections, unknowns: rest, held: [] };
}

function progressMissing(group: number, number: number, events: number): OutriderError {
  return new OutriderError(
    "PROGRESS_MISSING",
    `shard group ${group}: batch ${number} with ${events} events is on file, and Kafka does not know any more whether it was committed (its offsets were deleted or have expired)`,
    {
      repair:
        "Find out whether these events are in their topics, or start once with OUTRIDER_ACCEPT_DUPLICATES=true: they are then published again.",
    },
  );
}
