/**
 * The loop (Polling Publisher): look → claim → publish → remove → settle → wait.
 *
 * One batch is claimed while the one before is published and the one before that is removed
 * (`delivery-line.ts` draws it; the delivery modes differ in their lines alone). A claim begins where the
 * last one ended, so two batches in flight never hold the same row; and because batches are published one
 * after the other, an aggregate never has two unresolved ones.
 *
 * Whatever goes back to rows that were claimed before (a sweep, a retry of a blocked aggregate, the
 * time after an outage) first waits until nothing is in flight: a row that is published but not yet
 * removed would otherwise be claimed and published once more.
 */
import type { Routing } from "../event/message.ts";
import type { Micros } from "../event/position.ts";
import type { Clock } from "../foundation/clock.ts";
import { messageOf } from "../foundation/errors.ts";
import type { ShardHolding } from "../lease/lease.ts";
import type { RejectionLedger } from "../outbox/dead-letter-channel.ts";
import type { Outbox } from "../outbox/outbox.ts";
import type { Announcements } from "./announcements.ts";
import { BlockRetries } from "./block-retries.ts";
import { BlockedAggregates } from "./blocked-aggregates.ts";
import { type ClaimSizes, Claims } from "./claims.ts";
import { Cursors } from "./cursors.ts";
import type { Dispatch } from "./dispatch.ts";
import type { FenceTiming, FenceWatch } from "./fence-watch.ts";
import { type Batch, formBatch, withoutBlocked } from "./lanes.ts";
import { isOutboxTrouble, type Line, type LineMaker } from "./line.ts";
import { Outage, type OutageTiming } from "./outage.ts";
import { OwnedShards } from "./owned-shards.ts";
import { isLongest, type PollLimits, pauseMs } from "./pace.ts";
import { Pulse } from "./pulse.ts";
import { QuietMark } from "./quiet-mark.ts";
import type { PeekTiming, SharedPeek } from "./shared-peek.ts";
import { Sweep } from "./sweep.ts";
import { Tempo } from "./tempo.ts";
import type { BlockPolicy } from "./verdict.ts";

export interface RelayLimits
  extends PollLimits,
    PeekTiming,
    OutageTiming,
    FenceTiming,
    BlockPolicy,
    ClaimSizes {
  readonly blockedAggregatesMax: number;
  /** Give up when PostgreSQL or the broker is away at the start, instead of waiting. */
  readonly failFast: boolean;
}

/** What one loop works with. Several may share all of it but the shards and the line. */
export interface LoopParts {
  readonly outbox: Outbox;
  readonly ledger: RejectionLedger;
  readonly clock: Clock;
  readonly random: () => number;
  readonly announcements: Announcements;
  readonly fenceWatch: FenceWatch;
  readonly peek: SharedPeek;
  /** The shards that this loop may work on. */
  readonly holding: ShardHolding;
  readonly makeLine: LineMaker;
  /** When to claim. */
  readonly dispatch: Dispatch;
}

/** Polls in a row that found nothing, and after which the next one claims all the same. */
const idleClaims = 1;

/** Blocked aggregates that are tried again in one go. */
const retriesMax = 64;

export class PollingPublisher {
  readonly #parts: LoopParts;
  readonly #limits: RelayLimits;
  readonly #routing: Routing;
  readonly #signal: AbortSignal;
  readonly #line: Line;
  readonly #shards: OwnedShards;
  readonly #cursors = new Cursors();
  readonly #blocked: BlockedAggregates;
  readonly #retries: BlockRetries;
  readonly #sweep: Sweep;
  readonly #dispatch: Dispatch;
  readonly #claims: Claims;
  readonly #outage: Outage;
  readonly #pulse: Pulse;
  readonly #tempo = new Tempo();
  #publishing: Promise<void> = Promise.resolve();
  #isPublishing = false;
  /** What ended a publish for good; the next round throws it, events or not. */
  #fault: unknown;
  #isFull = false;
  #idlePolls = 0;
  readonly #quietMark = new QuietMark();
  /** The mark that the last wait ended with; null when it was no wait for a mark. */
  #seenMark: string | null = null;

  constructor(parts: LoopParts, limits: RelayLimits, routing: Routing, signal: AbortSignal) {
    this.#parts = parts;
    this.#limits = limits;
    this.#routing = routing;
    this.#signal = signal;
    this.#shards = new OwnedShards(parts.holding);
    const { abandon } = this.#shards;
    this.#pulse = new Pulse(parts.clock);
    const { beat } = this.#pulse;
    this.#line = parts.makeLine({ timing: limits, signal, holding: parts.holding, abandon, beat });
    this.#blocked = new BlockedAggregates(parts, limits);
    const { mayPublish } = this.#shards;
    const own = { blocked: this.#blocked, line: this.#line, cursors: this.#cursors, mayPublish };
    this.#retries = new BlockRetries({ ...parts, ...own }, limits, routing, signal);
    this.#sweep = new Sweep({ ...parts, ...own });
    this.#dispatch = parts.dispatch;
    this.#claims = new Claims({ ...parts, ...own }, limits);
    this.#outage = new Outage("outbox", { ...parts, beat }, limits);
  }

  get totals() {
    return this.#line.totals;
  }

  /** Milliseconds since the last round, or the last attempt at what is away; null before the first one. */
  get pulseAgeMs(): number | null {
    return this.#pulse.ageMs;
  }

  get blockedCount(): number {
    return this.#blocked.size;
  }

  connect(): Promise<void> {
    return this.#line.connect(this.#limits.failFast);
  }

  /** Asks for a look behind the cursors. */
  sweepSoon(): void {
    this.#sweep.soon();
  }

  /** Runs until the signal fires and everything in flight is settled. Rejects only for a bug or a stuck send. */
  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      this.#pulse.beat();
      try {
        await this.#round();
        this.#outage.end();
      } catch (error) {
        if (!isOutboxTrouble(error)) throw error;
        await this.#recover(messageOf(error));
      }
    }
    await this.#settle();
    await this.#sweep.settle();
    // Should it fail, the next holder of these shards counts a few rejections less.
    await this.#blocked.sync().catch(() => undefined);
  }

  async #round(): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault;
    await this.#followLeases();
    await this.#blocked.sync();
    if (!this.#dispatch.isOpen) return this.#dispatch.rest(this.#signal);
    // An outbox in which nothing new is written would otherwise be left alone, whatever was found.
    if (await this.#sweep.step(() => this.#settle())) this.#quietMark.forget();
    await this.#retryBlocked();
    if (this.#isHalted() || this.#shards.size === 0) return this.#rest();
    if (!this.#cursors.isCrowded) await this.#gather();
    const quiet = this.#quietMark.at(this.#parts.clock.monotonicMs());
    const peeked = await this.#peekWhereIdle(quiet);
    if (peeked !== null && peeked === quiet) return this.#rest();
    // The mark moves before the commit: should this claim come too early, the next one follows soon.
    if (peeked !== null) this.#idlePolls = 0;
    const claimed = await this.#claims.take(this.#blocked.ids, quiet);
    if (claimed === "unchanged") return this.#rest();
    const { events, isCut, isAtEnd, isQuiet, isAwaited, outboxMark, fence } = claimed;
    this.#sweep.note(events);
    // The mark is older than the look: whatever was written since either changes it or was seen open.
    this.#quietMark.note(isQuiet ? outboxMark : null, this.#parts.clock.monotonicMs());
    const batch = formBatch(events, this.#routing, this.#blocked.has);
    if (events.length > 0) {
      this.#tempo.found(this.#parts.clock.monotonicMs());
      await this.#publishing;
      if (this.#signal.aborted) return;
      this.#publishing = this.#deliver(batch);
      this.#publishing.catch((fault) => {
        this.#fault = fault;
      });
    }
    if (events.length === 0) await this.#line.rest();
    this.#idlePolls = isAtEnd ? (isAwaited ? 1 : this.#idlePolls + 1) : 0;
    if (isAtEnd) await this.#endDispatch(fence);
    if (!this.#isGathering && this.#tempo.hurries(isAwaited)) return;
    await this.#wait(isCut);
  }

  /** Where a batch costs as much as its events do, a claim that comes later takes more of them along. */
  get #isGathering(): boolean {
    return this.#line.gatherMs > 0;
  }

  /**
   * The mark, where it may spare a claim: nothing new was there, and nobody who wrote. In a stream of events the next
   * one is near: there a poll in vain costs less than a round trip before every claim.
   */
  async #peekWhereIdle(quiet: string | null): Promise<string | null> {
    const seen = this.#seenMark;
    this.#seenMark = null;
    if (quiet === null || this.#idlePolls <= idleClaims) return null;
    return seen ?? this.#parts.peek.ask();
  }

  /** None is claimed ahead then but of a backlog. */
  async #gather(): Promise<void> {
    if (!this.#isGathering) return;
    await this.#publishing;
    if (this.#idlePolls === 0) await this.#parts.clock.sleep(this.#line.gatherMs, this.#signal);
  }

  /** Publishes what is not behind a block by now: the batch before may have blocked an aggregate. */
  async #deliver({ messages, unpublishable }: Batch): Promise<void> {
    this.#isPublishing = true;
    const due = withoutBlocked(messages, this.#blocked.has);
    const rejections = await this.#line.publish(due, this.#shards.mayPublish).finally(() => {
      this.#isPublishing = false;
    });
    for (const rejection of rejections) this.#blocked.add(rejection);
    // Only now: what stands before an unpublishable event in its lane had to be published first.
    for (const rejection of unpublishable) {
      if (!this.#blocked.has(rejection.event.aggregateId)) this.#blocked.add(rejection);
    }
  }

  async #followLeases(): Promise<void> {
    if (!this.#shards.isStale()) return;
    await this.#settle();
    // Before the shards go: whoever takes them next counts on from there.
    await this.#blocked.sync();
    const { kept, all } = this.#shards.take();
    this.#cursors.own(kept);
    this.#cursors.own(all);
    this.#blocked.own(kept, all);
    this.#quietMark.forget();
    await this.#shards.handBack();
    if (all.size > 0 && !(await this.#line.takeOver())) this.#shards.drop();
  }

  async #retryBlocked(): Promise<void> {
    const due = this.#blocked.due(retriesMax);
    if (due.length === 0) return;
    await this.#settle();
    if (await this.#retries.run(due, this.#claims.limits)) this.#quietMark.forget();
  }

  /** With very many blocked aggregates the fault is a common one; claiming on would only add to them. */
  #isHalted(): boolean {
    const isFull = this.#blocked.size >= this.#limits.blockedAggregatesMax;
    if (isFull && !this.#isFull) {
      this.#parts.announcements.announce({ type: "blocked-limit-reached", blocked: this.#blocked.size });
    }
    this.#isFull = isFull;
    return isFull;
  }

  /** Nothing to do in this round. */
  async #rest(): Promise<void> {
    await this.#line.rest();
    this.#idlePolls += 1;
    await this.#endDispatch(Number.POSITIVE_INFINITY);
    await this.#wait(false);
  }

  async #endDispatch(fence: Micros): Promise<void> {
    if (!this.#dispatch.isDone(fence) || this.#sweep.isUnderWay) return;
    await this.#settle();
    // Not while something was left out for want of trust: it has to be claimed again.
    if (!this.#shards.isStale()) this.#dispatch.end();
  }

  async #wait(isCut: boolean): Promise<void> {
    const isNear = !this.#isGathering && this.#tempo.isNear(this.#parts.clock.monotonicMs());
    if (!isNear && (await this.#waitForMark())) return;
    const idlePolls = isNear ? Math.min(1, this.#idlePolls) : this.#idlePolls;
    const pause = pauseMs(idlePolls, isCut, this.#limits, this.#parts.random);
    if (pause > 0) await this.#parts.clock.sleep(pause, this.#signal);
  }

  /** Once nothing has come for a while. What has to be done on time keeps the relay from it. */
  async #waitForMark(): Promise<boolean> {
    const quiet = this.#quietMark.at(this.#parts.clock.monotonicMs());
    if (quiet === null || !isLongest(this.#idlePolls, this.#limits)) return false;
    if (this.#blocked.size > 0 || this.#sweep.isUnderWay || !this.#dispatch.isOpen) return false;
    // Removals go over the session that waits, and would do so behind the wait.
    if (this.#isPublishing || this.#line.isBusy) return false;
    this.#seenMark = await this.#parts.peek.change(quiet, this.#signal);
    return this.#seenMark !== null;
  }

  async #recover(message: string): Promise<void> {
    await this.#outage.wait(message, this.#signal);
    this.#parts.fenceWatch.forget();
    await this.#settle();
    this.#cursors.forget();
    this.#quietMark.forget();
  }

  async #settle(): Promise<void> {
    await this.#publishing;
    await this.#line.settle();
  }
}
