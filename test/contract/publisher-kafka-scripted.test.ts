/** The Kafka publisher against brokers that answer what no real one can be brought to answer on demand. */
import { Kafka, logLevel, Partitioners } from "kafkajs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { OutboxEvent } from "../../src/event/event.ts";
import { type Clock, systemClock } from "../../src/foundation/clock.ts";
import { type KafkaOptions, KafkaPublisher } from "../../src/publisher/kafka.ts";
import { topicRelookMs } from "../../src/publisher/kafka-options.ts";
import { partitionOf } from "../../src/publisher/kafka-partitions.ts";
import type { PublisherRemark } from "../../src/publisher/publisher.ts";
import { FakeCluster } from "../support/fake-broker.ts";
import { aMessage } from "../support/messages.ts";

let cluster: FakeCluster;
let publishers: KafkaPublisher[];
let remarks: PublisherRemark[];

beforeEach(async () => {
  cluster = await FakeCluster.start(2);
  publishers = [];
  remarks = [];
});

afterEach(async () => {
  for (const publisher of publishers) await publisher.close();
  await cluster.stop();
});

function publisherWith(changes: Partial<KafkaOptions> = {}, clock: Clock = systemClock): KafkaPublisher {
  const publisher = new KafkaPublisher(
    {
      brokers: cluster.brokers,
      clientId: "test",
      tls: null,
      sasl: null,
      requestTimeoutMs: 1_000,
      connectionTimeoutMs: 1_000,
      compression: "none",
      requestBytesMax: 900_000,
      ...changes,
    },
    (remark) => remarks.push(remark),
    clock,
  );
  publishers.push(publisher);
  return publisher;
}

/** The first aggregate of the name that lives in the partition. */
function aggregateIn(partition: number, count: number, name = "a"): string {
  for (let n = 0; ; n += 1) if (partitionOf(`${name}${n}`, count) === partition) return `${name}${n}`;
}

const idsOf = (events: readonly OutboxEvent[]) => events.map(({ eventId }) => eventId);

describe("an answer that is no ack", () => {
  it("leaves an event unknown when the send resolved without its partition, and writes it the next time", async () => {
    cluster.topics.set("t", { partitions: 2 });
    const [a, b] = [aggregateIn(0, 2), aggregateIn(1, 2)];
    const messages = [aMessage({ topic: "t", aggregateId: a }), aMessage({ topic: "t", aggregateId: b })];
    const publisher = publisherWith();
    cluster.script = {
      answer: ({ partition }) => ({ isOmitted: partition === 1, isWritten: partition === 0 }),
    };
    const first = await publisher.publish(messages);
    expect(first.acks).toEqual([messages[0]?.event]);
    expect(first.unknowns).toEqual([messages[1]?.event]);
    expect(first.trouble).toContain("no answer");
    cluster.script = {};
    const second = await publisher.publish(messages.slice(1));
    expect(second.acks).toEqual([messages[1]?.event]);
    expect(cluster.logOf("t", 1)).toHaveLength(1);
  });

  it("leaves an event unknown when its offset was acked before: the broker took it for a duplicate", async () => {
    cluster.topics.set("t", { partitions: 1 });
    const publisher = publisherWith();
    const [e1, e2] = [aMessage({ topic: "t", aggregateId: "a" }), aMessage({ topic: "t", aggregateId: "a" })];
    await publisher.publish([e1]);
    cluster.script = { answer: () => ({ isWritten: false, baseOffset: "0" }) };
    const report = await publisher.publish([e2]);
    expect(report).toMatchObject({ acks: [], unknowns: [e2.event] });
    expect(report.trouble).toContain("no ack");
  });

  it.each([6, 19, 7])("error code %i leaves its partition unknown and acks the others", async (errorCode) => {
    cluster.topics.set("t", { partitions: 2 });
    const messages = [0, 1].map((p) => aMessage({ topic: "t", aggregateId: aggregateIn(p, 2) }));
    cluster.script = { answer: ({ partition }) => (partition === 0 ? { errorCode } : {}) };
    const report = await publisherWith().publish(messages);
    expect(report).toMatchObject({
      acks: [messages[1]?.event],
      unknowns: [messages[0]?.event],
      rejections: [],
    });
    expect(report.trouble).toContain(`error code ${errorCode}`);
  });
});

describe("a producer does not outlive a failure", () => {
  it.each(["cut", "swallow"] as const)(
    "the response was %s: a new connection before the next send",
    async (how) => {
      cluster.topics.set("t", { partitions: 1 });
      const publisher = publisherWith();
      const message = aMessage({ topic: "t", aggregateId: "a" });
      await publisher.publish([aMessage({ topic: "t", aggregateId: "b" })]);
      cluster.script = { deliver: ({ api }) => (api === "Produce" ? how : "send") };
      const report = await publisher.publish([message]);
      expect(report.unknowns).toEqual([message.event]);
      expect(report.trouble).not.toBe("");
      await cluster.untilIdle();
      const apis: string[] = [];
      cluster.on("request", ({ api }) => apis.push(api));
      cluster.script = {};
      expect((await publisher.publish([message])).acks).toEqual([message.event]);
      expect(apis[0]).toBe("ApiVersions");
    },
  );

  it("takes the answer of the broker that gave one, and waits for the other before it goes on", async () => {
    cluster.topics.set("t", { partitions: 2, leaderOf: (partition) => partition });
    const messages = [0, 1].map((p) => aMessage({ topic: "t", aggregateId: aggregateIn(p, 2) }));
    const publisher = publisherWith();
    cluster.script = {
      deliver: ({ api, brokerId }) => (api === "Produce" && brokerId === 1 ? "cut" : "send"),
    };
    const report = await publisher.publish(messages);
    expect(report.acks.length + report.unknowns.length).toBe(2);
    expect(report.unknowns).toContain(messages[1]?.event);
    cluster.script = {};
    expect((await publisher.publish(messages)).acks).toHaveLength(2);
  });

  it("recovers when its connections died while it was idle", async () => {
    cluster.topics.set("t", { partitions: 1 });
    const publisher = publisherWith();
    await publisher.publish([aMessage({ topic: "t", aggregateId: "a" })]);
    cluster.cutAll();
    const message = aMessage({ topic: "t", aggregateId: "a" });
    let report = await publisher.publish([message]);
    if (report.acks.length === 0) report = await publisher.publish([message]);
    expect(report.acks).toEqual([message.event]);
  });
});

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
    expect(idsOf(report.held)).toEqual([28, 33, 38].map((n) => messages[n]?.event.eventId));
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
    expect(report.acks).toEqual([b1.event]);
    expect(cluster.logOf("u", 0)).toHaveLength(1);
  });
});

describe("another kafkajs client of the same process", () => {
  it("still gets its refusals thrown: the repairs are this publisher's alone", async () => {
    cluster.topics.set("t", { partitions: 1 });
    await publisherWith().publish([aMessage({ topic: "t", aggregateId: "a" })]);
    cluster.script = { answer: () => ({ errorCode: 10 }) };
    const kafka = new Kafka({ brokers: cluster.brokers, logLevel: logLevel.NOTHING, retry: { retries: 0 } });
    const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    const send = producer.send({ topic: "t", messages: [{ key: "a", value: "" }] });
    await expect(send).rejects.toMatchObject({ type: "MESSAGE_TOO_LARGE" });
    await producer.disconnect();
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
    expect(report).toMatchObject({ acks: [messages[1]?.event], unknowns: [messages[0]?.event] });
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
    expect((await publisher.publish([message])).acks).toEqual([message.event]);
    expect(cluster.logOf("t", 0)).toHaveLength(1);
    expect(remarks.filter(({ message }) => message.includes("made anew with 1"))).toHaveLength(1);
  });
});

describe("connecting", () => {
  it("goes to the next broker when the first is away", async () => {
    const away = await FakeCluster.start();
    const gone = away.brokers[0] as string;
    await away.stop();
    cluster.topics.set("t", { partitions: 1 });
    const publisher = publisherWith({ brokers: [gone, ...cluster.brokers] });
    await publisher.connect();
    expect((await publisher.publish([aMessage({ topic: "t", aggregateId: "a" })])).acks).toHaveLength(1);
  });

  it("says BROKER_REFUSED to a wrong password, and never the password", async () => {
    const sasl = { mechanism: "plain", username: "u", password: "s3cret-canary" } as const;
    const publisher = publisherWith({ sasl });
    await expect(publisher.connect()).rejects.toMatchObject({ code: "BROKER_REFUSED", retriable: false });
    expect(JSON.stringify(remarks)).not.toContain("s3cret-canary");
    expect(remarks.length).toBeGreaterThan(0);
  });
});
