/** Events that a real broker will not have: each is found, alone, and all the others are published once. */
import { afterEach, describe, expect, inject, it } from "vitest";
import type { Message } from "../../src/event/message.ts";
import { type Clock, systemClock } from "../../src/foundation/clock.ts";
import { type KafkaOptions, KafkaPublisher } from "../../src/publisher/kafka.ts";
import { topicRelookMs } from "../../src/publisher/kafka-options.ts";
import { aMessage } from "../support/messages.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

let publisher: KafkaPublisher;
afterEach(() => publisher.close());

function open(changes: Partial<KafkaOptions> = {}, clock: Clock = systemClock): KafkaPublisher {
  publisher = new KafkaPublisher(
    {
      brokers: inject("kafkaBrokers").split(","),
      clientId: "refusals",
      tls: null,
      sasl: null,
      requestTimeoutMs: 10_000,
      connectionTimeoutMs: 5_000,
      compression: "none",
      requestBytesMax: 900_000,
      ...changes,
    },
    () => undefined,
    clock,
  );
  return publisher;
}

async function expectOnceInOrder(topic: string, expected: readonly Message[]): Promise<void> {
  const written = await readTopic(inject("kafkaBrokers"), topic);
  expect(written.map(({ headers }) => headers.event_id).sort()).toEqual(
    expected.map(({ event }) => event.eventId).sort(),
  );
  for (const key of new Set(expected.map((message) => message.key))) {
    expect(written.filter((each) => each.key === key).map(({ headers }) => headers.event_id)).toEqual(
      expected.filter((message) => message.key === key).map(({ event }) => event.eventId),
    );
  }
}

describe("an event larger than its topic takes", () => {
  it.each(["none", "gzip"] as const)(
    "in the middle of a batch (%s): only its aggregate waits",
    async (compression) => {
      const topic = uniqueTopic("large");
      const settings = { "max.message.bytes": "20000" };
      await createTopics(inject("kafkaBrokers"), [{ topic, partitions: 3, settings }]);
      const noise = () => Buffer.from(Array.from({ length: 30_000 }, () => Math.floor(Math.random() * 256)));
      const messages = Array.from({ length: 300 }, (_, n) =>
        aMessage({ topic, aggregateId: `a${n % 12}`, value: n === 150 ? noise() : `{"n":${n}}`.padEnd(100) }),
      );
      const report = await open({ compression }).publish(messages);
      const isOfLargeLane = (at: number) => at % 12 === 150 % 12;
      const acked = messages.filter((_, at) => !isOfLargeLane(at) || at < 150);
      expect(report.rejections).toMatchObject([{ event: messages[150]?.event, reason: "message-too-large" }]);
      expect(report.rejections[0]?.message).toContain("max.message.bytes");
      expect(report.held).toEqual(
        messages.filter((_, at) => isOfLargeLane(at) && at > 150).map(({ event }) => event),
      );
      expect(report.unknowns).toEqual([]);
      expect(report.acks).toHaveLength(acked.length);
      await expectOnceInOrder(topic, acked);
    },
  );

  it("is refused alone when it comes again, and what the topic takes is remembered", async () => {
    const topic = uniqueTopic("large");
    await createTopics(inject("kafkaBrokers"), [{ topic, settings: { "max.message.bytes": "20000" } }]);
    const kafka = open();
    const big = aMessage({ topic, aggregateId: "big", value: "x".repeat(25_000) });
    const small = Array.from({ length: 200 }, (_, n) =>
      aMessage({ topic, aggregateId: `a${n % 7}`, value: "y".repeat(500) }),
    );
    expect((await kafka.publish([big, ...small])).acks).toHaveLength(200);
    expect(await kafka.publish([big])).toMatchObject({ acks: [], rejections: [{ event: big.event }] });
    await expectOnceInOrder(topic, small);
  });
});

describe("a topic that does not exist", () => {
  it("is never created; its events are rejected, all others flow, and once it is there they do too", async () => {
    const [topic, missing] = [uniqueTopic("there"), uniqueTopic("missing")];
    await createTopics(inject("kafkaBrokers"), [{ topic, partitions: 2 }]);
    let skippedMs = 0;
    const kafka = open({}, { ...systemClock, monotonicMs: () => performance.now() + skippedMs });
    const wanted = aMessage({ topic: missing, aggregateId: "m" });
    const others = Array.from({ length: 20 }, (_, n) => aMessage({ topic, aggregateId: `a${n % 4}` }));
    const report = await kafka.publish([wanted, ...others]);
    expect(report.rejections).toMatchObject([{ event: wanted.event, reason: "topic-unknown" }]);
    expect(report.rejections[0]?.message).toContain(missing);
    expect(report.acks).toHaveLength(20);
    await createTopics(inject("kafkaBrokers"), [{ topic: missing }]);
    expect((await kafka.publish([wanted])).rejections).toHaveLength(1); // It was asked for just now.
    skippedMs = topicRelookMs;
    expect((await kafka.publish([wanted])).acks).toHaveLength(1);
    await expectOnceInOrder(missing, [wanted]);
    await expectOnceInOrder(topic, others);
  });
});

describe("an invalid record", () => {
  it("is found among valid ones by its refusal: a timestamp that the topic does not accept", async () => {
    const topic = uniqueTopic("stamped");
    const settings = { "message.timestamp.before.max.ms": "3600000" };
    await createTopics(inject("kafkaBrokers"), [{ topic, settings }]);
    const now = String(Date.now());
    const messages = Array.from({ length: 40 }, (_, n) => ({
      ...aMessage({ topic, aggregateId: `a${n % 4}` }),
      timestamp: n === 17 ? "1000000000000" : now,
    }));
    const report = await open().publish(messages);
    expect(report.rejections).toMatchObject([{ event: messages[17]?.event, reason: "broker-refused" }]);
    const acked = messages.filter((_, at) => at % 4 !== 17 % 4 || at < 17);
    expect(report.acks).toHaveLength(acked.length);
    await expectOnceInOrder(topic, acked);
  });
});

describe("values", () => {
  it("arrive byte for byte, text and bytes", async () => {
    const topic = uniqueTopic("bytes");
    await createTopics(inject("kafkaBrokers"), [{ topic }]);
    const bytes = new Uint8Array(Array.from({ length: 256 }, (_, n) => n));
    const text = '{ "b" : 1.0,\n"a":"é漢🦊\\u0001" , "b":2 }';
    const messages = [bytes, text].map((value) => aMessage({ topic, aggregateId: "a", value }));
    expect((await open().publish(messages)).acks).toHaveLength(2);
    const written = await readTopic(inject("kafkaBrokers"), topic);
    expect(written[0]?.bytes).toEqual(Buffer.from(bytes));
    expect(written[1]?.value).toBe(text);
  });
});
