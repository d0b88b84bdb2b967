/** What every publisher promises, whatever is behind it. */
import { Writable } from "node:stream";
import { afterEach, describe, expect, inject, it } from "vitest";
import type { Report } from "../../src/event/delivery.ts";
import type { Message } from "../../src/event/message.ts";
import { KafkaPublisher } from "../../src/publisher/kafka.ts";
import type { Publisher } from "../../src/publisher/publisher.ts";
import { StdoutPublisher } from "../../src/publisher/stdout.ts";
import { MemoryPublisher } from "../support/memory-publisher.ts";
import { aMessage } from "../support/messages.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

interface Written {
  readonly partition: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly eventId: string | undefined;
}

interface Bench {
  readonly publisher: Publisher;
  /** Two topics that take events, and one that takes none. */
  readonly topics: readonly [string, string];
  readonly refusedTopic: string | undefined;
  read(topic: string): Promise<readonly Written[]>;
}

async function kafkaBench(): Promise<Bench> {
  const brokers = inject("kafkaBrokers");
  const topics = [uniqueTopic("contract"), uniqueTopic("contract")] as const;
  await createTopics(brokers, [
    { topic: topics[0], partitions: 3 },
    { topic: topics[1], partitions: 1 },
  ]);
  const publisher = new KafkaPublisher(
    {
      brokers: brokers.split(","),
      clientId: "contract",
      tls: null,
      sasl: null,
      requestTimeoutMs: 10_000,
      connectionTimeoutMs: 5_000,
      compression: "gzip",
      requestBytesMax: 900_000,
    },
    () => undefined,
  );
  const read = async (topic: string) =>
    (await readTopic(brokers, topic)).map(({ partition, key, value, headers }) => ({
      partition,
      key,
      value,
      eventId: headers.event_id,
    }));
  return { publisher, topics, refusedTopic: uniqueTopic("missing"), read };
}

async function stdoutBench(): Promise<Bench> {
  let text = "";
  const stream = new Writable({
    highWaterMark: 16,
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      setImmediate(done);
    },
  });
  const read = async (asked: string) =>
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line))
      .filter(({ topic }) => topic === asked)
      .map(({ key, value, headers }) => ({
        partition: 0,
        key,
        value: JSON.stringify(value),
        eventId: headers.event_id,
      }));
  return { publisher: new StdoutPublisher(stream), topics: ["t", "u"], refusedTopic: undefined, read };
}

async function memoryBench(): Promise<Bench> {
  const publisher = new MemoryPublisher();
  publisher.fateOf = ({ topic }) => (topic === "missing" ? "topic-unknown" : "ack");
  const read = async (asked: string) =>
    publisher.written
      .filter(({ topic }) => topic === asked)
      .map(({ key, value, event }) => ({ partition: 0, key, value: String(value), eventId: event.eventId }));
  return { publisher, topics: ["t", "u"], refusedTopic: "missing", read };
}

function expectEachOnce(report: Report, messages: readonly Message[]): void {
  const listed = [
    ...report.acks,
    ...report.rejections.map(({ event }) => event),
    ...report.unknowns,
    ...report.held,
  ].map(({ eventId }) => eventId);
  expect(listed.sort()).toEqual(messages.map(({ event }) => event.eventId).sort());
}

describe.each([
  ["kafka", kafkaBench],
  ["stdout", stdoutBench],
  ["memory", memoryBench],
])("a publisher to %s", (_name, open) => {
  let bench: Bench;
  afterEach(() => bench.publisher.close());

  async function start(): Promise<Bench> {
    bench = await open();
    await bench.publisher.connect();
    return bench;
  }

  it("answers an empty batch with an empty report", async () => {
    const { publisher } = await start();
    expect(await publisher.publish([])).toEqual({ acks: [], rejections: [], unknowns: [], held: [] });
  });

  it("connects as often as it is asked to, and closes as often", async () => {
    const { publisher } = await start();
    await publisher.connect();
    await publisher.close();
    await publisher.close();
  });

  it("may be closed before it was ever connected", async () => {
    bench = await open();
    await bench.publisher.close();
  });

  it("writes every event once, in order per aggregate, with its key, its headers and its bytes", async () => {
    const { publisher, topics, read } = await start();
    const messages = Array.from({ length: 600 }, (_, n) =>
      aMessage({ topic: topics[0], aggregateId: `order-${n % 17}`, value: `{"n":${n},"é":"漢🦊"}` }),
    );
    for (const at of [0, 200, 400]) {
      const batch = messages.slice(at, at + 200);
      const report = await publisher.publish(batch);
      expect(report.acks).toHaveLength(200);
      expectEachOnce(report, batch);
      expect(report.trouble).toBeUndefined();
    }
    const written = await read(topics[0]);
    expect(written).toHaveLength(600);
    for (let lane = 0; lane < 17; lane += 1) {
      const key = `order-${lane}`;
      const ofLane = written.filter((each) => each.key === key);
      expect(new Set(ofLane.map(({ partition }) => partition)).size).toBe(1);
      const expected = messages.filter((message) => message.key === key);
      expect(ofLane.map(({ value, eventId }) => [value, eventId])).toEqual(
        expected.map(({ value, event }) => [value, event.eventId]),
      );
    }
  });

  it("acks an aggregate whose events go to several topics", async () => {
    const { publisher, topics, read } = await start();
    const messages = Array.from({ length: 30 }, (_, n) =>
      aMessage({ topic: topics[n % 2] as string, aggregateId: `a${n % 3}` }),
    );
    const report = await publisher.publish(messages);
    expectEachOnce(report, messages);
    expect(report.acks).toHaveLength(30);
    expect(await read(topics[0])).toHaveLength(15);
    expect(await read(topics[1])).toHaveLength(15);
  });

  it("stops an aggregate at its first failure and lets every other one flow", async () => {
    const { publisher, topics, refusedTopic, read } = await start();
    if (refusedTopic === undefined) return; // A plain stream refuses nothing.
    const [a1, a2, a3, b1] = [
      aMessage({ topic: topics[0], aggregateId: "a" }),
      aMessage({ topic: refusedTopic, aggregateId: "a" }),
      aMessage({ topic: topics[0], aggregateId: "a" }),
      aMessage({ topic: topics[0], aggregateId: "b" }),
    ];
    const report = await publisher.publish([a1, a2, a3, b1]);
    expectEachOnce(report, [a1, a2, a3, b1]);
    expect(new Set(report.acks.map(({ eventId }) => eventId))).toEqual(
      new Set([a1.event.eventId, b1.event.eventId]),
    );
    expect(report.rejections).toMatchObject([{ event: a2.event, reason: "topic-unknown" }]);
    expect(report.held).toEqual([a3.event]);
    expect(await read(topics[0])).toHaveLength(2);
  });
});
