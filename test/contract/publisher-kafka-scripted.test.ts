/** The Kafka publisher against brokers that answer what no real one can be brought to answer on demand. */
import { Kafka, logLevel, Partitioners } from "kafkajs";
import { describe, expect, it } from "vitest";
import { FakeCluster } from "../support/fake-broker.ts";
import { acksOf, aMessage } from "../support/messages.ts";
import { aggregateIn, cluster, publisherWith, remarks } from "../support/scripted-kafka.ts";

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
    expect(first.acks).toEqual(acksOf(messages[0]));
    expect(first.unknowns).toEqual([messages[1]?.event]);
    expect(first.trouble).toContain("no answer");
    cluster.script = {};
    const second = await publisher.publish(messages.slice(1));
    expect(second.acks).toEqual(acksOf(messages[1]));
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
      acks: acksOf(messages[1]),
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
      const sentBefore = cluster.batches.length;
      const report = await publisher.publish([message]);
      expect(cluster.batches.length - sentBefore).toBe(1); // kafkajs did not repeat it on its own.
      expect(report.unknowns).toEqual([message.event]);
      expect(report.trouble).toBeTruthy();
      await cluster.untilIdle();
      const apis: string[] = [];
      cluster.on("request", ({ api }) => apis.push(api));
      cluster.script = {};
      expect((await publisher.publish([message])).acks).toEqual(acksOf(message));
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
    expect(report.acks).toEqual(acksOf(message));
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
