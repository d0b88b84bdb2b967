/**
 * One assignment of partitions to this member, from one join of the group to the next.
 *
 *     open ──► closed: nothing more begins ──► drained: nothing runs, what is done is committed ──► superseded
 *
 * kafkajs keeps the group waiting until our `eachBatch` returns, so draining there hands a partition over
 * with nothing of it running. It also rejoins by itself in places where nobody is asked (an idle fetch, a
 * moved leader); then the next owner may begin an event again that a handler here is still busy with.
 */
import type { Clock } from "../foundation/clock.ts";
import { messageOf } from "../foundation/errors.ts";
import type { Bell } from "./bell.ts";
import type { Place } from "./consumed-event.ts";
import type { ConsumerListener } from "./consumer-announcements.ts";
import type { ConsumerLimits } from "./consumer-limits.ts";
import type { BatchDelivery, GroupJoin, KafkaConsumer, PartitionOffsets } from "./consumer-shape.ts";
import { PartitionHistory } from "./partition-history.ts";
import { type LaneParts, PartitionLanes } from "./partition-lanes.ts";

export interface SessionParts extends LaneParts {
  readonly consumer: Pick<KafkaConsumer, "pause" | "resume">;
  readonly clock: Clock;
  readonly bell: Bell;
  readonly limits: ConsumerLimits;
  readonly announce: ConsumerListener;
}

/** Where the last assignment had come to in a partition that was kept. */
interface Standstill {
  readonly lowWater: bigint;
  readonly next: bigint;
}

interface Held {
  lanes: PartitionLanes;
  committed: bigint | undefined;
  /** Until the first batch has shown where kafkajs reads on. */
  standstill: Standstill | undefined;
}

/** A paused partition is resumed when so much of its room is taken: the rest keeps it busy during kafkajs's fetch. */
const resumeFullness = 0.75;

export class GroupSession {
  readonly #parts: SessionParts;
  readonly #held = new Map<string, Held>();
  #isOpen = true;
  #isSuperseded = false;
  #commitWith: BatchDelivery["commitOffsetsIfNecessary"] | undefined;
  #committing: Promise<void> = Promise.resolve();
  #drained: Promise<void> | undefined;

  constructor(parts: SessionParts, { memberAssignment }: GroupJoin, previous?: GroupSession) {
    this.#parts = parts;
    for (const [topic, partitions] of Object.entries(memberAssignment)) {
      for (const partition of partitions) {
        const place = { topic, partition };
        const before = previous === undefined ? undefined : previous.#held.get(nameOf(place));
        const lanes = new PartitionLanes(place, before?.lanes.history ?? new PartitionHistory(), parts);
        this.#held.set(nameOf(place), { lanes, committed: undefined, standstill: standstillOf(before) });
        // kafkajs keeps its pauses over a rebalance.
        if (before?.lanes.isPaused === true) this.#resume(place);
      }
    }
    if (previous !== undefined) previous.#supersede(this);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get isSuperseded(): boolean {
    return this.#isSuperseded;
  }

  get partitions(): string[] {
    return [...this.#held.keys()];
  }

  /** Undefined for a partition that is not ours: a batch fetched before the last rebalance. */
  lanesOf(place: Place): PartitionLanes | undefined {
    return this.#held.get(nameOf(place))?.lanes;
  }

  /**
   * Whether a batch was fetched before the rebalance that made this assignment: it begins where the last
   * one had come to, but undone work lies before that and will be read again. Asked once a partition, so
   * that a position which somebody else has moved is believed the second time.
   */
  isStale(place: Place, first: bigint): boolean {
    const held = this.#held.get(nameOf(place));
    const standstill = held?.standstill;
    if (held === undefined || standstill === undefined) return false;
    held.standstill = undefined;
    return standstill.lowWater < standstill.next && first >= standstill.next;
  }

  /** kafkajs reads an earlier offset again: a seek, or a topic that was made anew. Everything known is void. */
  startOver(place: Place): PartitionLanes | undefined {
    const held = this.#held.get(nameOf(place));
    if (held === undefined) return undefined;
    held.lanes.close();
    held.lanes.history.forgetDone();
    held.lanes = new PartitionLanes(place, held.lanes.history, this.#parts);
    held.committed = undefined;
    return held.lanes;
  }

  /**
   * Takes the call to commit with. Not `consumer.commitOffsets`: that one tries again by itself, over a
   * rebalance too, and then commits for a partition that is another member's by now.
   */
  commitBy(delivery: BatchDelivery): void {
    this.#commitWith = delivery.commitOffsetsIfNecessary;
  }

  pause(lanes: PartitionLanes): void {
    const { topic, partition } = lanes.place;
    lanes.isPaused = true;
    this.#parts.consumer.pause([{ topic, partitions: [partition] }]);
    const behind = `${nameOf(lanes.place)}@${lanes.ledger.lowWater ?? "-"}`;
    const { isBlocked } = lanes;
    this.#parts.announce({ type: "partition-paused", place: nameOf(lanes.place), behind, isBlocked });
  }

  /** Call it when work has ended. */
  resumeWhereRoomy(): void {
    if (!this.#isOpen) return;
    for (const { lanes } of this.#held.values()) {
      if (!lanes.isPaused || lanes.fullness > resumeFullness) continue;
      lanes.isPaused = false;
      this.#resume(lanes.place);
      this.#parts.announce({ type: "partition-resumed", place: nameOf(lanes.place) });
    }
  }

  #resume({ topic, partition }: Place): void {
    try {
      this.#parts.consumer.resume([{ topic, partitions: [partition] }]);
    } catch {
      // kafkajs throws between a crash and its restart, and forgets every pause in it.
    }
  }

  close(): void {
    this.#isOpen = false;
    for (const { lanes } of this.#held.values()) lanes.close();
  }

  abortWork(): void {
    for (const { lanes } of this.#held.values()) lanes.abortWork();
  }

  /**
   * Lets what runs come to its end, for `drainMsMax` at most, and commits. Where the group waits for us
   * (`isTidy`), what lies below an event that is done is done too, for `holdMsMax` at most: it spares the
   * next owner what would come again.
   */
  drain(isTidy: boolean): Promise<void> {
    this.#drained ??= this.#drain(isTidy);
    return this.#drained;
  }

  async #drain(isTidy: boolean): Promise<void> {
    this.#isOpen = false;
    if (isTidy) await this.#tidy();
    this.close();
    const { clock, bell, slots, limits, announce } = this.#parts;
    const deadlineMs = clock.monotonicMs() + limits.drainMsMax;
    while (slots.busyCount > 0 && clock.monotonicMs() < deadlineMs) {
      await bell.heard(deadlineMs - clock.monotonicMs());
    }
    if (slots.busyCount > 0) {
      this.abortWork();
      announce({ type: "work-abandoned", events: slots.busyCount });
    }
    await this.commit();
  }

  async #tidy(): Promise<void> {
    const { clock, bell, limits } = this.#parts;
    const all = [...this.#held.values()].map(({ lanes }) => lanes);
    for (const lanes of all) lanes.narrow();
    const deadlineMs = clock.monotonicMs() + limits.holdMsMax;
    while (clock.monotonicMs() < deadlineMs && !all.every((lanes) => lanes.isTidy)) {
      await bell.heard(deadlineMs - clock.monotonicMs());
    }
  }

  /** Commits every low-water mark that has moved. A failure is announced, and the next call tries again. */
  commit(): Promise<void> {
    this.#committing = this.#committing.then(() => this.#commit());
    return this.#committing;
  }

  async #commit(): Promise<void> {
    const moved = this.#movedMarks();
    // After a rejoin kafkajs would commit under the new generation what the old one did.
    if (moved.length === 0 || this.#commitWith === undefined || this.#isSuperseded) return;
    try {
      await this.#commitWith(offsetsOf(moved));
      for (const { held, lowWater } of moved) held.committed = lowWater;
    } catch (thrown) {
      this.#parts.announce({ type: "commit-failed", message: messageOf(thrown) });
    }
  }

  #movedMarks(): Mark[] {
    const marks: Mark[] = [];
    for (const held of this.#held.values()) {
      const { lowWater } = held.lanes.ledger;
      if (lowWater === undefined || lowWater === held.committed) continue;
      held.lanes.history.forgetBelow(lowWater);
      marks.push({ held, lowWater });
    }
    return marks;
  }

  /** What stays with this member goes on to its end; what went to another is told that its time is over. */
  #supersede(next: GroupSession): void {
    this.close();
    this.#isSuperseded = true;
    for (const [name, { lanes }] of this.#held) if (!next.#held.has(name)) lanes.abortWork();
  }
}

interface Mark {
  readonly held: Held;
  readonly lowWater: bigint;
}

function nameOf({ topic, partition }: Place): string {
  return `${topic}/${partition}`;
}

function standstillOf(held: Held | undefined): Standstill | undefined {
  const { lowWater, next } = held?.lanes.ledger ?? {};
  return lowWater === undefined || next === undefined ? undefined : { lowWater, next };
}

function offsetsOf(marks: readonly Mark[]): PartitionOffsets {
  return {
    topics: marks.map(({ held, lowWater }) => ({
      topic: held.lanes.place.topic,
      partitions: [{ partition: held.lanes.place.partition, offset: lowWater.toString() }],
    })),
  };
}
