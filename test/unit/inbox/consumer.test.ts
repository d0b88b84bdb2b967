/** The moments of a consumer's life that a real Kafka brings about only now and then. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ConsumeOptions, GroupConsumer } from "../../../src/inbox/consumer.ts";
import type { ConsumerAnnouncement } from "../../../src/inbox/consumer-announcements.ts";
import { OffsetLedger } from "../../../src/inbox/offset-ledger.ts";
import { laneOfKey } from "../../../src/inbox/partition-lanes.ts";
import { type ManualClock, manualClock } from "../../support/clock.ts";
import { expelled, rebalancing, records, ScriptedConsumer } from "../../support/scripted-consumer.ts";

let kafka: ScriptedConsumer;
let clock: ManualClock;
let announced: ConsumerAnnouncement[];
/** What has begun, and how to end it. */
let begun: { readonly name: string; readonly signal: AbortSignal; done(): void; fail(): void }[];
let consumer: GroupConsumer;

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
const names = () => begun.map(({ name }) => name);
const end = async (...offsets: number[]) => {
  for (const offset of offsets) begun.findLast(({ name }) => name.endsWith(`@${offset}`))?.done();
  await settled();
};

async function started(options: Partial<ConsumeOptions> = {}): Promise<void> {
  consumer = new GroupConsumer(
    {
      consumer: kafka,
      topics: ["topic"],
      onAnnouncement: (said) => announced.push(said),
      handle: ({ aggregateId, offset }, { signal }) =>
        new Promise<void>((resolve, reject) => {
          const fail = () => reject(new Error("refused"));
          begun.push({ name: `${aggregateId}@${offset}`, signal, done: resolve, fail });
        }),
      ...options,
    },
    { clock, random: () => 1, laneOf: laneOfKey, makeLedger: () => new OffsetLedger() },
  );
  await consumer.start();
  kafka.join(0, 1);
}

beforeEach(() => {
  kafka = new ScriptedConsumer();
  clock = manualClock();
  announced = [];
  begun = [];
});
afterEach(async () => {
  const stopped = consumer.stop();
  for (const { done } of begun) done();
  await clock.advance(60_000);
  await stopped;
});

describe("a consumer", () => {
  it("works aggregates side by side, each in order, and commits below what is undone", async () => {
    await started();
    const batch = kafka.deliver(0, records(10, ["a", "b", "a", "c"]));
    await settled();
    expect(names()).toEqual(["a@10", "b@11", "c@13"]);
    await end(11, 13);
    await clock.advance(1_000);
    expect(kafka.commits.at(-1)).toBe("topic/0@10");
    await end(10);
    expect(names().at(-1)).toBe("a@12");
    await clock.advance(1_000);
    expect(kafka.commits.at(-1)).toBe("topic/0@12");
    await end(12);
    await batch.ended;
    expect(batch.resolved).toEqual(["13"]);
    await clock.advance(1_000);
    expect(kafka.commits.at(-1)).toBe("topic/0@14");
  });

  it("holds kafkajs no longer than it may, and works on beside the next batch", async () => {
    await started({ holdMsMax: 200 });
    const first = kafka.deliver(0, records(0, ["slow", "a"]));
    await settled();
    await end(1);
    await clock.advance(200);
    await first.ended;
    const second = kafka.deliver(0, records(2, ["b"]));
    await settled();
    await end(2);
    await clock.advance(100);
    await second.ended;
    expect(names()).toEqual(["slow@0", "a@1", "b@2"]);
  });

  it("never works on more at once than it may", async () => {
    await started({ concurrency: 2 });
    kafka.deliver(0, records(0, ["a", "b", "c"]));
    kafka.deliver(1, records(0, ["d"]));
    await settled();
    expect(names()).toEqual(["a@0", "b@1"]);
    await end(0);
    expect(names()).toEqual(["a@0", "b@1", "c@2"]);
  });

  it("takes no more than there is room for, and pauses a partition that does not move", async () => {
    await started({ eventsAheadMax: 8, holdMsMax: 200 });
    const batch = kafka.deliver(0, records(0, Array(20).fill("a")));
    await clock.advance(200);
    await batch.ended;
    // The next fetch begins at the ninth.
    expect(batch.resolved).toEqual(["7"]);
    expect(kafka.calls).not.toContain("pause topic/0");
    const again = kafka.deliver(0, records(8, Array(12).fill("a")));
    await clock.advance(200);
    await again.ended;
    expect(again.resolved).toEqual([]);
    expect(kafka.calls.at(-1)).toBe("pause topic/0");
    await end(0);
    expect(kafka.calls.at(-1)).toBe("pause topic/0");
    await end(1);
    expect(kafka.calls.at(-1)).toBe("resume topic/0");
  });

  it("finishes what runs before a rebalance goes on, and what lies below it", async () => {
    await started();
    const batch = kafka.deliver(0, records(0, ["a", "a", "b", "b", "a"]));
    await settled();
    await end(2);
    expect(names()).toEqual(["a@0", "b@2", "b@3"]);
    kafka.heartbeatError = rebalancing;
    await clock.advance(100);
    await end(3);
    await end(0);
    // Below b@3; but a@4 is not.
    expect(names()).toEqual(["a@0", "b@2", "b@3", "a@1"]);
    await end(1);
    await expect(batch.ended).rejects.toBe(rebalancing);
    expect(kafka.commits.at(-1)).toBe("topic/0@4");
    expect(names()).toHaveLength(4);
  });

  it("goes on after a heartbeat that failed for another reason", async () => {
    await started();
    const batch = kafka.deliver(0, records(0, ["a", "a"]));
    await settled();
    kafka.heartbeatError = new Error("connection closed");
    await clock.advance(100);
    await expect(batch.ended).rejects.toThrow("connection closed");
    // Or kafkajs would fetch again what is under way.
    expect(batch.resolved).toEqual(["1"]);
    kafka.heartbeatError = undefined;
    await end(0);
    await end(1);
    expect(names()).toEqual(["a@0", "a@1"]);
  });

  it("does not begin an event again that still runs from before a rebalance, or was done", async () => {
    await started();
    const ids = ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"];
    kafka.deliver(0, records(0, ["a", "b", "a"], ids));
    await settled();
    await end(1);
    // Without a word in `eachBatch`: an idle fetch has found out.
    kafka.rebalance();
    kafka.join(0);
    const again = kafka.deliver(0, records(0, ["a", "b", "a"], ids));
    await settled();
    expect(names()).toEqual(["a@0", "b@1"]);
    await end(0);
    expect(names()).toEqual(["a@0", "b@1", "a@2"]);
    await end(2);
    await again.ended;
    await clock.advance(1_000);
    expect(kafka.commits.at(-1)).toBe("topic/0@3");
  });

  it("does the same offsets again when they hold other events", async () => {
    await started();
    kafka.deliver(0, records(0, ["a", "b"]));
    await settled();
    await end(1);
    kafka.join(0);
    const again = kafka.deliver(0, records(0, ["a", "b"]));
    await end(0);
    expect(names()).toEqual(["a@0", "b@1", "b@1", "a@0"]);
    await end(0, 1);
    await again.ended;
  });

  it("tells work of a partition that it has lost, and does not move the position of the next owner", async () => {
    await started();
    const batch = kafka.deliver(1, records(0, ["a"]));
    await settled();
    kafka.join(0);
    expect(begun[0]?.signal.aborted).toBe(true);
    await end(0);
    await clock.advance(200);
    await batch.ended;
    expect(batch.resolved).toEqual([]);
    await clock.advance(2_000);
    expect(kafka.commits).toEqual([]);
  });

  it("tells all work at once when the group went on without it", async () => {
    await started();
    const batch = kafka.deliver(0, records(0, ["a"]));
    await settled();
    kafka.heartbeatError = expelled;
    await clock.advance(100);
    expect(begun[0]?.signal.aborted).toBe(true);
    await end(0);
    await expect(batch.ended).rejects.toBe(expelled);
  });

  it("drops a batch that was fetched before a rebalance, once", async () => {
    await started({ holdMsMax: 10 });
    const before = kafka.deliver(0, records(0, ["a", "b", "c"]));
    await clock.advance(10);
    await before.ended;
    await end(1);
    kafka.join(0);
    const stale = kafka.deliver(0, records(3, ["d"]));
    await stale.ended;
    expect(stale.resolved).toEqual([]);
    expect(names()).not.toContain("d@3");
    const next = kafka.deliver(0, records(3, ["d"]));
    await settled();
    expect(names()).toContain("d@3");
    await end(0, 3);
    await clock.advance(100);
    await next.ended;
  });

  it("starts a partition over that is read from an earlier offset, and forgets where it stood", async () => {
    await started();
    const first = kafka.deliver(0, records(5, ["a", "b"]));
    await settled();
    await end(6);
    await clock.advance(500);
    await first.ended;
    const again = kafka.deliver(0, records(0, ["c"]));
    await clock.advance(1_000);
    // Not 5, where the undone one lies: that would pass over what is read now.
    expect(kafka.commits.at(-1)).toBe("topic/0@0");
    await end(0);
    await again.ended;
    expect(names()).toEqual(["a@5", "b@6", "c@0"]);
  });

  it("tries a failed event again with growing pauses, and says so", async () => {
    await started({ retryMinMs: 10, retryMaxMs: 25 });
    kafka.deliver(0, records(0, ["a", "a"]));
    for (const pauseMs of [10, 20, 25, 25]) {
      await settled();
      begun.at(-1)?.fail();
      await settled();
      expect(announced.at(-1)).toMatchObject({ type: "event-failed", retryInMs: pauseMs });
      await clock.advance(pauseMs);
    }
    expect(names()).toEqual(Array(5).fill("a@0"));
    await end(0);
    expect(announced.at(-1)).toMatchObject({ type: "event-recovered", place: "topic/0@0" });
    expect(names().at(-1)).toBe("a@1");
  });

  it("commits again what could not be committed", async () => {
    await started();
    kafka.deliver(0, records(0, ["a"]));
    await settled();
    await end(0);
    kafka.commitError = new Error("coordinator gone");
    await clock.advance(1_000);
    expect(announced.at(-1)).toEqual({ type: "commit-failed", message: "coordinator gone" });
    kafka.commitError = undefined;
    await clock.advance(1_000);
    expect(kafka.commits).toEqual(["topic/0@1"]);
  });

  it("waits at a stop for what runs, commits, and only then disconnects", async () => {
    await started();
    const batch = kafka.deliver(0, records(0, ["a", "a"]));
    await settled();
    const stopped = consumer.stop();
    await clock.advance(100);
    expect(kafka.calls).not.toContain("disconnect");
    await end(0);
    await clock.advance(100);
    await stopped;
    await batch.ended;
    expect(kafka.commits).toEqual(["topic/0@1"]);
    expect(kafka.calls.at(-1)).toBe("disconnect");
    expect(names()).toEqual(["a@0"]);
  });

  it("ends with an error when kafkajs gives it up, and goes on when kafkajs does", async () => {
    await started();
    kafka.crash(true);
    kafka.join(0, 1);
    const batch = kafka.deliver(0, records(0, ["a"]));
    await end(0);
    await batch.ended;
    const ended = expect(consumer.finished).rejects.toMatchObject({ code: "CONSUMER_ENDED" });
    kafka.crash(false);
    await ended;
  });

  it("leaves once more when kafkajs takes its own leaving for a crash and would start again", async () => {
    await started();
    kafka.crash(true);
    expect(kafka.calls, "a crash before the stop is kafkajs's to mend").not.toContain("disconnect");
    await consumer.stop();
    const leavings = () => kafka.calls.filter((call) => call === "disconnect").length;
    expect(leavings()).toBe(1);
    kafka.crash(true);
    await clock.advance(0);
    expect(leavings()).toBe(2);
  });

  it("refuses limits that are out of bounds, all at once", async () => {
    await started();
    const make = () => started({ concurrency: 0, retryMaxMs: 0.5 });
    await expect(make).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message:
        "consume: concurrency is 0: a whole number from 1 to 10000 is allowed; " +
        "retryMaxMs is 0.5: a whole number from 1 to 86400000 is allowed",
    });
  });
});
