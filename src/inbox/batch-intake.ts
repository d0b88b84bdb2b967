/**
 * What happens inside kafkajs's `eachBatch`: a batch goes into the lanes of its partition as there is
 * room, and the call is held until it is done, so that kafkajs neither fetches ahead nor rejoins the
 * group under running work. But kafkajs fetches nothing at all from a broker before every batch of the
 * last fetch has returned; so a lane that does not move is not waited for, and nothing for longer than
 * `holdMsMax`: what is left goes on beside the next batches.
 *
 * - A partition without room is paused only when it hardly moves. With all its partitions paused kafkajs
 *   sleeps for `maxWaitTimeInMs`, whatever is resumed meanwhile; and a fetch that is under way does not
 *   hear of a resumed partition. Otherwise it is left open, and kafkajs fetches the rest again.
 * - `resolveOffset` only moves the position of the next fetch. It is called for all that was accepted,
 *   also on the way out of an error, and never after a rejoin: there it would move the new position.
 * - A throw from `eachBatch` makes kafkajs start its fetches over, after five of them its consumer. So
 *   nothing leaves here but what its own heartbeat threw: that is how it learns of a rebalance.
 */
import type { Clock } from "../foundation/clock.ts";
import type { Bell } from "./bell.ts";
import type { ConsumerLimits } from "./consumer-limits.ts";
import type { BatchDelivery, ReceivedMessage } from "./consumer-shape.ts";
import type { GroupSession } from "./group-session.ts";
import type { PartitionLanes } from "./partition-lanes.ts";

export interface IntakeParts {
  readonly clock: Clock;
  readonly bell: Bell;
  readonly limits: Pick<ConsumerLimits, "holdMsMax" | "eventsAheadMax">;
}

/** How often kafkajs is asked to send a heartbeat; it does when its own interval is over. */
const beatMs = 100;

export class BatchIntake {
  readonly #parts: IntakeParts;
  readonly #session: GroupSession;
  readonly #delivery: BatchDelivery;
  readonly #deadlineMs: number;
  #lanes: PartitionLanes;
  #acceptedCount = 0;
  #position: string | undefined;
  #beatAtMs: number;

  constructor(parts: IntakeParts, session: GroupSession, lanes: PartitionLanes, delivery: BatchDelivery) {
    this.#parts = parts;
    this.#session = session;
    this.#lanes = lanes;
    this.#delivery = delivery;
    this.#beatAtMs = parts.clock.monotonicMs();
    this.#deadlineMs = this.#beatAtMs + parts.limits.holdMsMax;
  }

  /** Rejects with what a heartbeat threw; when it says that the group is shared out anew, after all work has ended. */
  async run(): Promise<void> {
    const { batch } = this.#delivery;
    const first = batch.messages[0];
    if (first === undefined || this.#session.isStale(batch, BigInt(first.offset))) return;
    try {
      if (await this.#acceptAll(batch.messages)) await this.#held(() => !this.#lanes.isBusy);
    } finally {
      if (this.#position !== undefined && !this.#session.isSuperseded) {
        this.#delivery.resolveOffset(this.#position);
      }
    }
  }

  /** Whether all of it found room. */
  async #acceptAll(messages: readonly ReceivedMessage[]): Promise<boolean> {
    for (const message of messages) {
      if (this.#lanes.fullness >= 1 && !(await this.#held(() => this.#lanes.fullness < 1))) {
        this.#pauseUnlessMoving();
        return false;
      }
      if (!this.#session.isOpen) return false;
      this.#accept(message);
    }
    this.#lanes.ledger.skipTo(BigInt(this.#delivery.batch.lastOffset()) + 1n);
    return true;
  }

  #accept(message: ReceivedMessage): void {
    const { next } = this.#lanes.ledger;
    if (next !== undefined && BigInt(message.offset) < next) {
      this.#lanes = this.#session.startOver(this.#delivery.batch) ?? this.#lanes;
    }
    this.#lanes.accept(message);
    this.#position = message.offset;
    this.#acceptedCount += 1;
  }

  #pauseUnlessMoving(): void {
    if (!this.#session.isOpen || this.#acceptedCount >= this.#parts.limits.eventsAheadMax / 8) return;
    this.#session.pause(this.#lanes);
  }

  /** Waits for the condition with heartbeats; false when time is up, nothing moves, or the session closes. */
  async #held(isMet: () => boolean): Promise<boolean> {
    const { clock, bell, limits } = this.#parts;
    for (;;) {
      await this.#beat();
      if (isMet()) return true;
      const leftMs = this.#deadlineMs - clock.monotonicMs();
      if (!this.#session.isOpen || leftMs <= 0 || !this.#lanes.isMoving(limits.holdMsMax)) return false;
      await bell.heard(Math.min(leftMs, beatMs));
    }
  }

  async #beat(): Promise<void> {
    const nowMs = this.#parts.clock.monotonicMs();
    if (nowMs - this.#beatAtMs < beatMs) return;
    this.#beatAtMs = nowMs;
    try {
      await this.#delivery.heartbeat();
    } catch (thrown) {
      // After anything else kafkajs goes on in the same membership, and so does the session.
      if (isRejoin(thrown)) await drainWhileBeating(this.#session, this.#delivery, this.#parts.clock, thrown);
      throw thrown;
    }
  }
}

/** Ends the session's work, and keeps the membership alive meanwhile: also a refused heartbeat does. */
export async function drainWhileBeating(
  session: GroupSession,
  { heartbeat }: BatchDelivery,
  clock: Clock,
  reason?: unknown,
): Promise<void> {
  if (isExpelled(reason)) session.abortWork();
  const over = new AbortController();
  const drained = session.drain(true).finally(() => over.abort());
  while (!over.signal.aborted) {
    await clock.sleep(beatMs, over.signal);
    if (over.signal.aborted) break;
    try {
      await heartbeat();
    } catch (thrown) {
      // A rebalance is what we are here for; what else is wrong, kafkajs will find out by itself.
      if (isExpelled(thrown)) session.abortWork();
    }
  }
  await drained;
}

/** The group has gone on without us: our partitions are already another member's. */
const expulsions: ReadonlySet<unknown> = new Set(["UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION"]);
/** What else kafkajs answers by joining the group again. */
const invitations: ReadonlySet<unknown> = new Set(["REBALANCE_IN_PROGRESS", "NOT_COORDINATOR_FOR_GROUP"]);

function isExpelled(thrown: unknown): boolean {
  return thrown instanceof Error && "type" in thrown && expulsions.has(thrown.type);
}

function isRejoin(thrown: unknown): boolean {
  return isExpelled(thrown) || (thrown instanceof Error && "type" in thrown && invitations.has(thrown.type));
}
