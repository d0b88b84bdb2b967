/** Refused records, and topics that are missing, without a leader, grown, or made anew: on a fake cluster. */
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/foundation/clock.ts";
import { topicRelookMs } from "../../src/publisher/kafka-options.ts";
import { acksOf, aMessage } from "../support/messages.ts";
import { aggregateIn, cluster, publisherWith, remarks } from "../support/scripted-kafka.ts";

describe("isolating what is refused", () => {
  it("finds the one record that the broker finds invalid; only its aggregate waits", async () => {
    cluster.topics.set("t", { partitions: 1 });
    const messages = Array.from({ length: 40 }, (_, n) =>
      aMessage({ topic: "t", aggregateId: `a${n % 5}`, value: n === 23 ? "bad" : `${n}` }),
    );
    cluster.script = {
      answer: ({ records }) => (records.some(({ value }) => value === "bad") ? { errorCode: 87 } : {}),
    };
    const report = await publisherWith().publish(messages);
    expect(report.rejections.map(({ event, reason }) => [event.eventId, reason])).toEqual([
      [messages[23]?.event.eventId, "broker-refused"],
    ]);
    expect(report.held.map(({ eventId }) => eventId)).toEqual(
      [28, 33, 38].map((n) => messages[n]?.event.eventId),
    );
    expect(report.acks).toHaveLength(36);
    expect(cluster.logOf("t", 0)).toHaveLength(36);
    expect(report.unknowns).toEqual([]);
  });

  it("remembers how large a batch a topic takes", async () => {
    cluster.topics.set("t", { partitions: 1 });
    cluster.script = { answer: ({ bytes }) => (bytes > 5_000 ? { errorCode: 10 } : {}) };
    const publisher = publisherWith();
    const batch = () =>
      Array.from({ length: 60 }, (_, n) =>
        aMessage({ topic: "t", aggregateId: `a${n}`, value: "x".repeat(300) }),
      );
    expect((await publisher.publish(batch())).acks).toHaveLength(60);
    cluster.batches.length = 0;
    expect((await publisher.publish(batch())).acks).toHaveLength(60);
    expect(cluster.batches.filter(({ bytes }) => bytes > 5_000)).toEqual([]);
  });

  it("rejects only the head of each aggregate when a login may not write to the topic", async () => {
    cluster.topics.set("t", { partitions: 1 });
    cluster.topics.set("u", { partitions: 1 });
    cluster.script = { answer: ({ topic }) => (topic === "t" ? { errorCode: 29 } : {}) };
    const [a1, a2, b1] = [
      aMessage({ topic: "t", aggregateId: "a" }),
      aMessage({ topic: "u", aggregateId: "a" }),
      aMessage({ topic: "u", aggregateId: "b" }),
    ];
    const report = await publisherWith().publish([a1, a2, b1]);
    expect(report.rejections).toMatchObject([{ event: a1.event, reason: "topic-unauthorized" }]);
    expect(report.held).toEqual([a2.event]);
    expect(report.acks).toEqual(acksOf(b1));
    expect(cluster.logOf("u", 0)).toHaveLength(1);
  });
});

describe("topics", () => {
  it("looks a missing topic up once in a while, not for every batch, and lets the others flow", async () => {
    cluster.topics.set("t", { partitions: 1 });
    const publisher = publisherWith();
    const batch = () => [
      aMessage({ topic: "nope", aggregateId: "a" }),
      aMessage({ topic: "t", aggregateId: "b" }),
    ];
    const first = await publisher.publish(batch());
    expect(first.rejections).toMatchObject([
      { reason: "topic-unknown", message: expect.stringContaining("nope") },
    ]);
    expect(first.acks).toHaveLength(1);
    let lookUps = 0;
    cluster.on("request", ({ api }) => {
      if (api === "Metadata") lookUps += 1;
    });
    for (let n = 0; n < 5; n += 1) expect((await publisher.publish(batch())).rejections).toHaveLength(1);
    expect(lookUps).toBe(0);
  });

  it("does not let one partition without a leader stop the others", async () => {
    cluster.topics.set("t", { partitions: 2, leaderOf: (partition) => (partition === 0 ? -1 : 0) });
    const messages = [0, 1].map((p) => aMessage({ topic: "t", aggregateId: aggregateIn(p, 2) }));
    const publisher = publisherWith();
    const report = await publisher.publish(messages);
    expect(report).toMatchObject({ acks: acksOf(messages[1]), unknowns: [messages[0]?.event] });
    expect(report.trouble).toBe("t/0 has no leader");
    cluster.topics.set("t", { partitions: 2 });
    expect((await publisher.publish(messages.slice(0, 1))).acks).toHaveLength(1);
  });

  it("keeps an aggregate's partition when the topic grows, and warns once", async () => {
    cluster.topics.set("t", { partitions: 2 });
    const publisher = publisherWith();
    await publisher.publish([aMessage({ topic: "t", aggregateId: "a" })]);
    cluster.topics.set("t", { partitions: 50 });
    cluster.script = { deliver: ({ api }) => (api === "Produce" ? "cut" : "send") };
    await publisher.publish([aMessage({ topic: "t", aggregateId: "a" })]);
    cluster.script = {};
    for (let n = 0; n < 30; n += 1) await publisher.publish([aMessage({ topic: "t", aggregateId: `g${n}` })]);
    expect(cluster.batches.every(({ partition }) => partition < 2)).toBe(true);
    expect(remarks.filter(({ message }) => message.includes("grew to 50"))).toHaveLength(1);
  });
});

describe("a topic made anew under a running publisher", () => {
  it("with fewer partitions: rejected while it is strange, then spread over those there are", async () => {
    cluster.topics.set("t", { partitions: 4 });
    let skippedMs = 0;
    const publisher = publisherWith({}, { ...systemClock, monotonicMs: () => performance.now() + skippedMs });
    const aggregateId = aggregateIn(2, 4);
    await publisher.publish([aMessage({ topic: "t", aggregateId })]);
    cluster.topics.set("t", { partitions: 1 });
    cluster.script = { answer: ({ partition }) => (partition > 0 ? { errorCode: 3 } : {}) };
    const message = aMessage({ topic: "t", aggregateId });
    expect((await publisher.publish([message])).rejections).toMatchObject([{ reason: "topic-unknown" }]);
    skippedMs = topicRelookMs;
    expect((await publisher.publish([message])).acks).toEqual(acksOf(message));
    expect(cluster.logOf("t", 0)).toHaveLength(1);
    expect(remarks.filter(({ message }) => message.includes("made anew with 1"))).toHaveLength(1);
  });
});
