/**
 * A runner for a kafkajs consumer: the events of an aggregate one after the other, the aggregates side by
 * side, and an offset committed only when everything below it is done.
 *
 *     new ──► starting ──► running ──► stopping ──► stopped
 *      │          │ could not connect     ▲
 *      │          └──► failed ────────────┘        a crash that kafkajs does not restart from: failed
 *      └─ stop before start ──────────► stopped
 *
 * - An event is handled at least once. It comes again after a crash, after a rebalance and after work that
 *   was abandoned: at most `eventsAheadMax` of a partition. `inbox.once` makes its effect happen once.
 * - A handler that throws is never an error of the consumer: its event is tried again with growing pauses
 *   while the other aggregates go on. `poisoned` says what becomes of it in the end.
 * - On a rebalance nothing more begins, what runs is waited for, and what is done is committed, before the
 *   group goes on. A handler that runs for longer than `holdMsMax` can still be overtaken by the next owner
 *   of its partition; the inbox holds there, too.
 */
import { type Clock, systemClock } from "../foundation/clock.ts";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import type { Lifecycle } from "../foundation/lifecycle.ts";
import { BatchIntake, drainWhileBeating } from "./batch-intake.ts";
import { Bell } from "./bell.ts";
import type { ConsumedEvent } from "./consumed-event.ts";
import { type ConsumerListener, toLogger } from "./consumer-announcements.ts";
import { type ConsumerLimits, limitsOf } from "./consumer-limits.ts";
import type { BatchDelivery, Crash, GroupJoin, KafkaConsumer, ReceivedMessage } from "./consumer-shape.ts";
import { EventWork, type HandleContext } from "./event-work.ts";
import { GroupSession, type SessionParts } from "./group-session.ts";
import { OffsetLedger } from "./offset-ledger.ts";
import { laneOfKey } from "./partition-lanes.ts";
import type { PoisonPolicy } from "./poison.ts";
import { WorkSlots } from "./work-slots.ts";

export interface ConsumeOptions extends Partial<ConsumerLimits> {
  /**
   * From `kafka.consumer({ groupId })`, not connected yet, and used by nobody else: never seek, pause or
   * commit with it. Give members of one group in one process a Kafka each: the consumers of a Kafka share
   * their notes on what a group has committed. Leave `readUncommitted` off, as it is by default: it
   * cannot be seen from here, and with it events of aborted transactions are handled.
   */
  readonly consumer: KafkaConsumer;
  /** They must exist. */
  readonly topics: readonly string[];
  /** Does the work of one event. What it throws is announced with its message and tried again. */
  handle(event: ConsumedEvent, context: HandleContext): Promise<unknown>;
  /** What becomes of an event that keeps failing. Default `{ policy: "block" }`. */
  readonly poisoned?: PoisonPolicy;
  /**
   * Whether a group without a committed offset reads from the oldest event. Default true: without it,
   * events written before the group's first commit are never handled.
   */
  readonly fromBeginning?: boolean;
  /** Must not throw. Default: failures go to the consumer's own logger. */
  readonly onAnnouncement?: ConsumerListener;
}

export interface EventConsumer extends Lifecycle {
  /** Joins the group. Rejects when that cannot be done; a consumer that has failed is not started again. */
  start(): Promise<void>;
  /**
   * Begins nothing more, waits up to `drainMsMax` for what runs, commits, leaves the group. kafkajs first
   * ends its fetch: up to `maxWaitTimeInMs` of the consumer. Do not await it inside `handle`.
   */
  stop(): Promise<void>;
  /** Resolves after a stop; rejects with CONSUMER_ENDED when the consumer came to an end by itself. */
  readonly finished: Promise<void>;
}

/** What a test may replace. */
export interface ConsumerInternals {
  readonly clock: Clock;
  readonly random: () => number;
  laneOf(message: ReceivedMessage): string;
  makeLedger(): OffsetLedger;
}

const internals: ConsumerInternals = {
  clock: systemClock,
  random: Math.random,
  laneOf: laneOfKey,
  makeLedger: () => new OffsetLedger(),
};

/** kafkajs handles so many partitions of a fetch at once; a partition that waits for another would be held up by it. */
const partitionsAtOnceMax = 256;

/** Throws CONFIG_INVALID, all faults at once, when a limit is out of bounds. */
export function consume(options: ConsumeOptions): EventConsumer {
  return new GroupConsumer(options, internals);
}

export class GroupConsumer implements EventConsumer {
  readonly finished: Promise<void>;
  readonly #options: ConsumeOptions;
  readonly #limits: ConsumerLimits;
  readonly #clock: Clock;
  readonly #parts: SessionParts;
  readonly #work: EventWork;
  readonly #stopping = new AbortController();
  readonly #released = new AbortController();
  #finish: () => void = () => undefined;
  #fail: (error: OutriderError) => void = () => undefined;
  #session: GroupSession | undefined;
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  /** Our own disconnect is under way, or done. */
  #isLeaving = false;
  #end: OutriderError | undefined;

  constructor(options: ConsumeOptions, { clock, random, laneOf, makeLedger }: ConsumerInternals) {
    this.#options = options;
    this.#clock = clock;
    this.#limits = limitsOf(options);
    this.finished = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    const announce = quietly(options.onAnnouncement ?? toLogger(options.consumer.logger()));
    const bell = new Bell(clock);
    const slots = new WorkSlots(this.#limits.concurrency, () => {
      bell.ring();
      this.#session?.resumeWhereRoomy();
    });
    const { retryMinMs, retryMaxMs } = this.#limits;
    const { consumer, poisoned = { policy: "block" } } = options;
    this.#work = new EventWork({
      handle: (event, context) => options.handle(event, context),
      poisoned,
      retryMinMs,
      retryMaxMs,
      random,
      announce,
    });
    const work: SessionParts["work"] = (place, task, signal) => this.#work.attempt(place, task, signal);
    const limits = this.#limits;
    this.#parts = { consumer, clock, bell, slots, limits, announce, work, laneOf, makeLedger };
  }

  start(): Promise<void> {
    this.#started ??= this.#stopped === undefined ? this.#start() : Promise.resolve();
    return this.#started;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #start(): Promise<void> {
    const { consumer, topics, fromBeginning = true } = this.#options;
    consumer.on("consumer.group_join", ({ payload }) => this.#join(payload));
    consumer.on("consumer.rebalancing", () => this.#rebalance());
    consumer.on("consumer.crash", ({ payload }) => this.#crash(payload));
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning });
    // Without `autoCommit` kafkajs commits nothing by itself: it would commit the position of its fetches.
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: partitionsAtOnceMax,
      eachBatch: (delivery) => this.#take(delivery),
    });
    // `run` resolves also when the join has failed for good.
    if (this.#end !== undefined) throw this.#end;
    void this.#commitNowAndThen();
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    // Disconnected while it joins, kafkajs would go on and run as a member that nobody stops.
    await this.#started?.catch(() => undefined);
    await this.#session?.drain(true);
    this.#released.abort();
    // Only now: kafkajs drops a commit without a word once it is stopping.
    this.#isLeaving = true;
    if (this.#started !== undefined) await this.#options.consumer.disconnect();
    this.#parts.announce({ type: "consumer-stopped", handledTotal: this.#work.handledTotal });
    this.#finish();
  }

  async #commitNowAndThen(): Promise<void> {
    for (;;) {
      await this.#clock.sleep(this.#limits.commitIntervalMs, this.#stopping.signal);
      if (this.#stopping.signal.aborted || this.#end !== undefined) return;
      await this.#session?.commit();
    }
  }

  #join(joined: GroupJoin): void {
    this.#session = new GroupSession(this.#parts, joined, this.#session);
    this.#parts.announce({ type: "partitions-assigned", partitions: this.#session.partitions });
    // A restart after a crash can join behind a stop.
    if (this.#stopping.signal.aborted) this.#session.close();
  }

  #rebalance(): void {
    this.#parts.announce({ type: "rebalancing" });
    // kafkajs does not wait for us here; what was drained inside `eachBatch` already is drained once.
    void this.#session?.drain(false);
  }

  #crash({ error, restart }: Crash): void {
    this.#session?.close();
    this.#session?.abortWork();
    this.#parts.announce({ type: "consumer-crashed", message: messageOf(error), restart });
    if (restart && this.#isLeaving) void this.#leaveAgain();
    if (restart || this.#stopped !== undefined) return;
    this.#end = new OutriderError("CONSUMER_ENDED", `kafkajs gave the consumer up: ${messageOf(error)}`, {
      cause: error,
      repair: "let the process end and its supervisor start it again",
    });
    this.#fail(this.#end);
  }

  /**
   * kafkajs takes the end of its connections for a crash when a request was still out, and sets a restart that
   * its own stop came too early to cancel: a member that nobody stops, in a process that never ends.
   */
  async #leaveAgain(): Promise<void> {
    // The restart is set right after this announcement.
    await Promise.resolve();
    await this.#options.consumer.disconnect().catch(() => undefined);
  }

  async #take(delivery: BatchDelivery): Promise<void> {
    const session = this.#session;
    const lanes = session?.lanesOf(delivery.batch);
    // A batch that was fetched before the last rebalance: whose partition it is now will read it.
    if (session === undefined || lanes === undefined) return;
    if (session.isOpen) {
      session.commitBy(delivery);
      await new BatchIntake(this.#parts, session, lanes, delivery).run();
    }
    if (!session.isOpen) await this.#waitOut(session, delivery);
  }

  /** Holds kafkajs back while a closed session ends: let go, it would fetch the same batch again and again. */
  async #waitOut(session: GroupSession, delivery: BatchDelivery): Promise<void> {
    await drainWhileBeating(session, delivery, this.#clock);
    if (this.#stopping.signal.aborted) await aborted(this.#released.signal);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** A listener that throws must not take a lane with it. */
function quietly(listener: ConsumerListener): ConsumerListener {
  return (announcement) => {
    try {
      listener(announcement);
    } catch {
      // It was told that it must not; there is nobody left to tell.
    }
  };
}
