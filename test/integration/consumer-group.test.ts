/**
 * Queue and publish/subscribe on a real Kafka: the members of a group share the events, every group has
 * all of them, and an aggregate's order holds while members join and leave under load.
 */
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { systemClock } from "../../src/foundation/clock.ts";
import type { GroupConsumer } from "../../src/inbox/consumer.ts";
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
import { seeded } from "../support/writers.ts";

const partitions = 6;
const aggregates = 40;

describe("a group of consumers", () => {
  const brokers = inject("kafkaBrokers");
  let events: EventTopic;
  const members: GroupConsumer[] = [];

  beforeEach(async () => {
    events = await EventTopic.make(brokers, partitions);
  });
  afterEach(async () => {
    await Promise.all(members.splice(0).map((member) => member.stop()));
    await events.close();
  });

  const random = (seed: number) => {
    console.log(`seed ${seed}`);
    return seeded(seed);
  };
  const member = (choices: Omit<MemberChoices, "brokers" | "topic">): GroupConsumer => {
    const made = makeMember({ ...choices, brokers, topic: events.topic });
    members.push(made);
    return made;
  };
  const write = async (count: number, next: () => number) => {
    for (let written = 0; written < count; written += 20) {
      await events.send(Array.from({ length: 20 }, () => `aggregate-${Math.floor(next() * aggregates)}`));
    }
  };
  const allDone = (log: GroupLog) => log.until(() => log.doneIds.size >= events.sent.length);

  /** Members come and go while events are written; returns when every event is done. */
  async function joinAndLeaveUnderLoad(choices: Partial<MemberChoices>, seed: number): Promise<GroupLog> {
    const log = new GroupLog();
    const groupId = uniqueTopic("group");
    const next = random(seed);
    const work = () => systemClock.sleep(next() * 4);
    const join = async (name: string) => {
      const made = member({ ...choices, groupId, log, name, work });
      await made.start();
      return made;
    };
    const first = await join("first");
    const writing = write(3_000, next);
    await log.until(() => log.handlings.length > 200);
    const second = await join("second");
    await log.until(() => log.handlings.some(({ member }) => member === "second"));
    const third = await join("third");
    await log.until(() => log.handlings.some(({ member }) => member === "third"));
    await first.stop();
    await writing;
    await second.stop();
    await allDone(log);
    await third.stop();
    expect(await committedOffsets(brokers, groupId, events.topic)).toEqual(
      await endOffsets(brokers, events.topic),
    );
    return log;
  }

  it("keeps the order of every aggregate while members join and leave under load", async () => {
    const log = await joinAndLeaveUnderLoad({}, Math.floor(Math.random() * 1e6));
    const verdict = judgeGroup(events.sent, log.handlings);
    console.log(JSON.stringify({ events: events.sent.length, ...verdict }), log.said("commit-failed").length);
    expect(verdict).toMatchObject({ missing: 0, inversions: 0, overlaps: 0 });
  });

  it("is judged by a check that sees a runner without lanes", async () => {
    const laneOf = ({ offset }: { offset: string }) => offset;
    const log = await joinAndLeaveUnderLoad({ internals: { laneOf } }, Math.floor(Math.random() * 1e6));
    const verdict = judgeGroup(events.sent, log.handlings);
    expect(verdict.missing).toBe(0);
    expect(verdict.inversions).toBeGreaterThan(0);
    expect(verdict.overlaps).toBeGreaterThan(0);
  });

  it("shares the events among its members, and every group has all of them", async () => {
    const next = random(Math.floor(Math.random() * 1e6));
    const [billing, shipping] = [new GroupLog(), new GroupLog()];
    const groups = { billing: uniqueTopic("billing"), shipping: uniqueTopic("shipping") };
    const work = () => systemClock.sleep(1);
    const started = [
      member({ groupId: groups.billing, log: billing, name: "billing-1", work }),
      member({ groupId: groups.billing, log: billing, name: "billing-2", work }),
      member({ groupId: groups.shipping, log: shipping, name: "shipping", work }),
    ];
    await Promise.all(started.map((made) => made.start()));
    await billing.until(() => sharesOf(billing).every((share) => share === partitions / 2));
    await write(600, next);
    await Promise.all([allDone(billing), allDone(shipping)]);
    for (const log of [billing, shipping]) {
      expect(judgeGroup(events.sent, log.handlings)).toMatchObject({
        missing: 0,
        inversions: 0,
        overlaps: 0,
      });
    }
    const handled = (name: string) => billing.handlings.filter(({ member }) => member === name).length;
    expect(Math.min(handled("billing-1"), handled("billing-2"))).toBeGreaterThan(0);
    expect(handled("billing-1") + handled("billing-2")).toBe(600);
  });
});

/** How many partitions each of two members has by what it said last. */
function sharesOf(log: GroupLog): number[] {
  const shares = new Map<string, number>([
    ["billing-1", 0],
    ["billing-2", 0],
  ]);
  for (const { member, said } of log.announced) {
    if (said.type === "partitions-assigned") shares.set(member, said.partitions.length);
  }
  return [...shares.values()];
}
