/** Events whose work fails, on a real Kafka: what waits, what goes on, and what is given up. */
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { OutriderError } from "../../src/foundation/errors.ts";
import type { GroupConsumer } from "../../src/inbox/consumer.ts";
import type { PoisonedEvent } from "../../src/inbox/poison.ts";
import {
  committedOffsets,
  EventTopic,
  endOffsets,
  GroupLog,
  judgeGroup,
  type MemberChoices,
  makeMember,
} from "../support/group-members.ts";
import { uniqueTopic } from "../support/topics.ts";

const brokers = inject("kafkaBrokers");
/** Both in the same lane order as they are written; `bad` is the one that fails. */
const mixed = (count: number) =>
  Array.from({ length: count }, (_, n) => (n % 5 === 0 ? "bad" : `good-${n % 5}`));

describe("an event whose work fails", () => {
  let events: EventTopic;
  let groupId: string;
  let log: GroupLog;
  const members: GroupConsumer[] = [];

  beforeEach(() => {
    groupId = uniqueTopic("group");
    log = new GroupLog();
  });
  afterEach(async () => {
    await Promise.all(members.splice(0).map((member) => member.stop()));
    await events.close();
  });

  const join = async (
    work: MemberChoices["work"],
    choices: Partial<MemberChoices> = {},
    name = "member",
  ): Promise<GroupConsumer> => {
    const made = makeMember({
      ...{ brokers, groupId, log, name, work, topic: events.topic, retryMinMs: 5, retryMaxMs: 40 },
      ...choices,
    });
    members.push(made);
    await made.start();
    return made;
  };
  const doneOf = (aggregate: string) =>
    new Set(
      log.handlings
        .filter(({ isDone, event }) => isDone && event.aggregateId.startsWith(aggregate))
        .map(({ event }) => event.eventId),
    ).size;

  it("holds up its own aggregate alone, and the committed offset; a restart brings again what lies behind", async () => {
    events = await EventTopic.make(brokers, 1);
    await events.send(mixed(100));
    let isHealed = false;
    const work: MemberChoices["work"] = async ({ aggregateId }) => {
      if (aggregateId === "bad" && !isHealed) throw new Error("no such account");
    };
    const first = await join(work);
    await log.until(() => doneOf("good") === 80 && log.said("event-failed").length > 5);
    expect(doneOf("bad")).toBe(0);
    const failed = log.said("event-failed")[0];
    expect(failed).toMatchObject({ aggregateId: "bad", message: "no such account", failures: 1 });
    expect(failed?.eventId).toBe(events.sent[0]?.eventId);
    // kafkajs would have started its consumer over, again and again.
    expect(log.said("partitions-assigned")).toHaveLength(1);
    await first.stop();
    expect(await committedOffsets(brokers, groupId, events.topic)).toEqual([0]);
    isHealed = true;
    const second = await join(work, {}, "second");
    await log.until(() => doneOf("bad") === 20);
    await log.until(() => log.handlings.filter(({ member }) => member === "second").length === 100);
    await second.stop();
    expect(judgeGroup(events.sent, log.handlings)).toEqual({
      missing: 0,
      inversions: 0,
      overlaps: 0,
      duplicates: 80,
    });
    expect(await committedOffsets(brokers, groupId, events.topic)).toEqual([100]);
  });

  it("stops its partition when too much lies behind it, and no other partition", async () => {
    events = await EventTopic.make(brokers, 4);
    // The partitions of these keys, by the partitioner of the relay: `bad` shares one with some of the others.
    const others = Array.from({ length: 40 }, (_, n) => `good-${n}`);
    for (let round = 0; round < 10; round += 1) await events.send(["bad", ...others]);
    let isHealed = false;
    await join(
      async ({ aggregateId }) => {
        if (aggregateId === "bad" && !isHealed) throw new Error("not yet");
      },
      { eventsAheadMax: 30, holdMsMax: 50 },
    );
    await log.until(() => log.said("partition-paused").some(({ isBlocked }) => isBlocked));
    const blocked = Number(/\/(\d+)@/.exec(log.said("event-failed")[0]?.place ?? "")?.[1]);
    const done = (isWanted: (partition: number) => boolean) =>
      log.handlings.filter(({ isDone, event }) => isDone && isWanted(event.partition)).length;
    const ends = await endOffsets(brokers, events.topic);
    const elsewhere = events.sent.length - (ends[blocked] ?? 0);
    expect(elsewhere).toBeGreaterThan(0);
    await log.until(() => done((partition) => partition !== blocked) === elsewhere);
    expect(ends[blocked]).toBeGreaterThan(30);
    expect(done((partition) => partition === blocked)).toBeLessThan(30);
    isHealed = true;
    await log.until(() => log.doneIds.size === events.sent.length);
    expect(log.said("partition-resumed").length).toBeGreaterThan(0);
    expect(judgeGroup(events.sent, log.handlings)).toMatchObject({ missing: 0, inversions: 0, overlaps: 0 });
  });

  it("is parked after so many failures, and its aggregate goes on; errors of others do not count", async () => {
    events = await EventTopic.make(brokers, 1);
    await events.send(mixed(50));
    const poisoned: PoisonedEvent[] = [];
    let [outages, refusals] = [4, 2];
    const member = await join(
      async ({ eventId }) => {
        if (eventId !== events.sent[0]?.eventId) return;
        if (outages-- > 0) throw new Error("connection lost");
        throw new Error("no such account");
      },
      {
        poisoned: {
          policy: "park",
          attemptsMax: 3,
          isTransient: (error) => error instanceof Error && error.message === "connection lost",
          onPoisoned: async (given) => {
            if (refusals-- > 0) throw new Error("the dead letters are full");
            poisoned.push(given);
          },
        },
      },
    );
    await log.until(() => log.doneIds.size === 49 && log.said("event-parked").length === 1);
    await member.stop();
    expect(poisoned).toHaveLength(1);
    // Four that do not count, three that do, and two at which it could not be parked.
    expect(log.said("event-failed")).toHaveLength(4 + 2 + 2);
    expect(poisoned[0]).toMatchObject({ attempts: 5, topic: events.topic, partition: 0 });
    expect(poisoned[0]?.event?.eventId).toBe(events.sent[0]?.eventId);
    expect(doneOf("bad")).toBe(9);
    expect(await committedOffsets(brokers, groupId, events.topic)).toEqual([50]);
  });

  it("is a record that no relay wrote: parked at once, or waited for, holding up nobody's lane", async () => {
    events = await EventTopic.make(brokers, 1);
    await events.sendForeign(null, "secret-payload");
    await events.sendForeign("good-1", "secret-payload");
    await events.send(mixed(10));
    const poisoned: PoisonedEvent[] = [];
    const onPoisoned = async (given: PoisonedEvent) => void poisoned.push(given);
    const first = await join(async () => undefined);
    await log.until(() => doneOf("good") === 6 && doneOf("bad") === 2 && log.said("event-failed").length > 4);
    await first.stop();
    expect(await committedOffsets(brokers, groupId, events.topic)).toEqual([0]);
    const second = await join(async () => undefined, { poisoned: { policy: "park", onPoisoned } }, "second");
    await log.until(() => log.doneIds.size === 10);
    await second.stop();
    expect(poisoned.map(({ event, attempts }) => [event, attempts])).toEqual([
      [null, 1],
      [null, 1],
    ]);
    const error = poisoned[0]?.error;
    expect(error).toBeInstanceOf(OutriderError);
    expect(error).toMatchObject({
      code: "EVENT_UNREADABLE",
      message: `the record of ${events.topic}/0 at offset 0 has no header event_id`,
    });
    expect(JSON.stringify(log.announced)).not.toContain("secret");
    expect(await committedOffsets(brokers, groupId, events.topic)).toEqual(
      await endOffsets(brokers, events.topic),
    );
  });
});
