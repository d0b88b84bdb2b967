/** Members of consumer groups on a real Kafka, and what they did, in the order in which they did it. */
import { randomUUID } from "node:crypto";
import { Kafka, logLevel, Partitioners, type Producer } from "kafkajs";
import { systemClock } from "../../src/foundation/clock.ts";
import { Bell } from "../../src/inbox/bell.ts";
import type { ConsumedEvent } from "../../src/inbox/consumed-event.ts";
import { type ConsumeOptions, type ConsumerInternals, GroupConsumer } from "../../src/inbox/consumer.ts";
import type { ConsumerAnnouncement } from "../../src/inbox/consumer-announcements.ts";
import { OffsetLedger } from "../../src/inbox/offset-ledger.ts";
import { laneOfKey } from "../../src/inbox/partition-lanes.ts";
import { createTopics, uniqueTopic } from "./topics.ts";

/** One Kafka a member: the consumers of a Kafka share what they know of a group's offsets. */
export function kafkaOf(brokers: string): Kafka {
  return new Kafka({
    brokers: brokers.split(","),
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20, retries: 8 },
  });
}

export interface SentEvent {
  readonly eventId: string;
  readonly aggregateId: string;
  /** 1, 2, 3, … within the aggregate. */
  readonly number: number;
}

/** A topic with events in it as the relay writes them. */
export class EventTopic {
  readonly topic = uniqueTopic("consumer");
  readonly sent: SentEvent[] = [];
  readonly #producer: Producer;
  readonly #numbers = new Map<string, number>();

  private constructor(brokers: string) {
    this.#producer = kafkaOf(brokers).producer({ createPartitioner: Partitioners.DefaultPartitioner });
  }

  static async make(brokers: string, partitions: number): Promise<EventTopic> {
    const made = new EventTopic(brokers);
    await createTopics(brokers, [{ topic: made.topic, partitions }]);
    await made.#producer.connect();
    return made;
  }

  /** Appends one event to each of the aggregates, in this order. */
  async send(aggregateIds: readonly string[]): Promise<void> {
    const events = aggregateIds.map((aggregateId) => {
      const number = (this.#numbers.get(aggregateId) ?? 0) + 1;
      this.#numbers.set(aggregateId, number);
      return { eventId: randomUUID(), aggregateId, number };
    });
    await this.#producer.send({
      topic: this.topic,
      messages: events.map(({ eventId, aggregateId, number }) => ({
        key: aggregateId,
        value: JSON.stringify({ number }),
        headers: { event_id: eventId, created_at: "2026-01-01T00:00:00.000000Z", event_type: "Counted" },
      })),
    });
    this.sent.push(...events);
  }

  /** A record that no relay wrote. */
  async sendForeign(key: string | null, value: string): Promise<void> {
    await this.#producer.send({ topic: this.topic, messages: [{ key, value }] });
  }

  async close(): Promise<void> {
    await this.#producer.disconnect();
  }
}

/** A handled event: when its work began and ended, counted in steps that all members share. */
export interface Handling {
  readonly member: string;
  readonly event: Pick<ConsumedEvent, "eventId" | "aggregateId" | "partition">;
  readonly begun: number;
  ended: number | undefined;
  /** Ended without an error. */
  isDone: boolean;
}

/** What all members of a group did. */
export class GroupLog {
  readonly handlings: Handling[] = [];
  readonly announced: { readonly member: string; readonly said: ConsumerAnnouncement }[] = [];
  readonly #bell = new Bell(systemClock);
  #step = 0;

  begin(member: string, event: ConsumedEvent): Handling {
    const handling: Handling = { member, event, begun: this.#step++, ended: undefined, isDone: false };
    this.handlings.push(handling);
    return handling;
  }

  end(handling: Handling, isDone = true): void {
    handling.ended = this.#step++;
    handling.isDone = isDone;
    this.#bell.ring();
  }

  announce(member: string, said: ConsumerAnnouncement): void {
    this.announced.push({ member, said });
    this.#bell.ring();
  }

  /** Resolves once the condition holds; it is asked whenever work ends or a member says something. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#bell.heard(60_000);
  }

  said<T extends ConsumerAnnouncement["type"]>(type: T): Extract<ConsumerAnnouncement, { type: T }>[] {
    return this.announced
      .map(({ said }) => said)
      .filter((said): said is Extract<ConsumerAnnouncement, { type: T }> => said.type === type);
  }

  get doneIds(): Set<string> {
    return new Set(this.handlings.filter(({ isDone }) => isDone).map(({ event }) => event.eventId));
  }
}

export interface GroupVerdict {
  readonly missing: number;
  /** First handlings of an aggregate's events that are out of order. */
  readonly inversions: number;
  /** Events handled more than once. */
  readonly duplicates: number;
  /** Pairs of handlings of one aggregate that ran at the same time. */
  readonly overlaps: number;
}

export function judgeGroup(sent: readonly SentEvent[], handlings: readonly Handling[]): GroupVerdict {
  const numbers = new Map(sent.map(({ eventId, number }) => [eventId, number]));
  const busyUntil = new Map<string, number>();
  let overlaps = 0;
  for (const { event, begun, ended = Number.POSITIVE_INFINITY } of handlings) {
    const busy = busyUntil.get(event.aggregateId) ?? -1;
    if (begun < busy) overlaps += 1;
    busyUntil.set(event.aggregateId, Math.max(busy, ended));
  }
  // Effects appear when work ends, so that is the order to judge.
  const done = handlings.filter(({ isDone }) => isDone).toSorted((a, b) => Number(a.ended) - Number(b.ended));
  const seen = new Set<string>();
  const highest = new Map<string, number>();
  let inversions = 0;
  for (const { event } of done) {
    if (seen.has(event.eventId)) continue;
    seen.add(event.eventId);
    const number = numbers.get(event.eventId) ?? Number.NaN;
    if (number < (highest.get(event.aggregateId) ?? 0)) inversions += 1;
    else highest.set(event.aggregateId, number);
  }
  const missing = sent.filter(({ eventId }) => !seen.has(eventId)).length;
  return { missing, inversions, duplicates: done.length - seen.size, overlaps };
}

export interface MemberChoices extends Partial<Omit<ConsumeOptions, "consumer" | "topics" | "handle">> {
  readonly brokers: string;
  readonly groupId: string;
  readonly topic: string;
  readonly log: GroupLog;
  readonly name: string;
  work(event: ConsumedEvent, attempt: number): Promise<unknown>;
  readonly internals?: Partial<ConsumerInternals>;
}

/** A member whose handlings and announcements go to the log. Not started yet. */
export function makeMember(choices: MemberChoices): GroupConsumer {
  const { brokers, groupId, topic, log, name, work, internals, ...options } = choices;
  const consumer = kafkaOf(brokers).consumer({
    groupId,
    allowAutoTopicCreation: false,
    // Short, so that joins, leaves and stops take a moment and not seconds.
    maxWaitTimeInMs: 100,
    heartbeatInterval: 200,
    sessionTimeout: 6_000,
  });
  return new GroupConsumer(
    {
      ...options,
      consumer,
      topics: [topic],
      onAnnouncement: (said) => log.announce(name, said),
      handle: async (event, { attempt }) => {
        const handling = log.begin(name, event);
        let isDone = false;
        try {
          await work(event, attempt);
          isDone = true;
        } finally {
          log.end(handling, isDone);
        }
      },
    },
    {
      clock: systemClock,
      random: Math.random,
      laneOf: laneOfKey,
      makeLedger: () => new OffsetLedger(),
      ...internals,
    },
  );
}

/** What the group has committed, by partition. */
export async function committedOffsets(brokers: string, groupId: string, topic: string): Promise<number[]> {
  const admin = kafkaOf(brokers).admin();
  await admin.connect();
  const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
  await admin.disconnect();
  return (found?.partitions ?? [])
    .toSorted((a, b) => a.partition - b.partition)
    .map(({ offset }) => Number(offset));
}

/** Where the partitions end. */
export async function endOffsets(brokers: string, topic: string): Promise<number[]> {
  const admin = kafkaOf(brokers).admin();
  await admin.connect();
  const found = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  return found.toSorted((a, b) => a.partition - b.partition).map(({ high }) => Number(high));
}
