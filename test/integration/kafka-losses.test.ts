/**
 * The ways in which kafkajs loses events, tried on a real broker: through the publisher, which must not,
 * and, for the worst of them, through kafkajs used the obvious way, which does.
 */
import { Kafka, logLevel, Partitioners } from "kafkajs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Report } from "../../src/event/delivery.ts";
import type { Message } from "../../src/event/message.ts";
import { type KafkaOptions, KafkaPublisher } from "../../src/publisher/kafka.ts";
import { aMessage } from "../support/messages.ts";
import { type ProxiedKafka, startProxiedKafka } from "../support/proxied-kafka.ts";
import { kafkaApis } from "../support/proxy.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

const requestTimeoutMs = 1_000;
const connectionTimeoutMs = 1_000;

let bench: ProxiedKafka;
let topic: string;
let publisher: KafkaPublisher | undefined;

beforeAll(async () => {
  bench = await startProxiedKafka();
});
afterAll(() => bench.stop());
afterEach(async () => {
  await bench.proxy.heal();
  await publisher?.close();
  publisher = undefined;
});

async function open(changes: Partial<KafkaOptions> = {}): Promise<KafkaPublisher> {
  topic = uniqueTopic("losses");
  await createTopics(bench.direct, [{ topic }]);
  publisher = new KafkaPublisher(
    {
      brokers: bench.brokers,
      clientId: "losses",
      tls: null,
      sasl: null,
      requestTimeoutMs,
      connectionTimeoutMs,
      compression: "none",
      requestBytesMax: 900_000,
      ...changes,
    },
    () => undefined,
  );
  return publisher;
}

const anEventOf = (value: string) => aMessage({ topic, aggregateId: "a", value });
const valuesIn = async () => (await readTopic(bench.direct, topic)).map(({ value }) => value);

/** As the relay does: the same batch again until it is acked. Returns the reports on the way. */
async function publishUntilAcked(messages: readonly Message[]): Promise<readonly Report[]> {
  const reports: Report[] = [];
  for (let rest = messages; rest.length > 0; ) {
    expect(reports.length).toBeLessThan(30);
    const report = (await publisher?.publish(rest)) as Report;
    expect(report.rejections).toEqual([]);
    reports.push(report);
    const acked = new Set(report.acks.map(({ eventId }) => eventId));
    rest = rest.filter(({ event }) => !acked.has(event.eventId));
  }
  return reports;
}

describe("a produce answer that never arrives", () => {
  it("costs a duplicate, and no other event", async () => {
    await open();
    await publishUntilAcked([anEventOf("e1")]);
    const lost = bench.proxy.swallowNext({ apiKey: kafkaApis.produce });
    const e2 = anEventOf("e2");
    const report = await publisher?.publish([e2]);
    await lost.happened;
    expect(report).toMatchObject({ acks: [], rejections: [], unknowns: [e2.event], held: [] });
    expect(report?.trouble).toContain("timed out");
    expect(await publishUntilAcked([e2])).toHaveLength(1);
    await publishUntilAcked([anEventOf("e3")]);
    await publishUntilAcked([anEventOf("e4")]);
    expect(await valuesIn()).toEqual(["e1", "e2", "e2", "e3", "e4"]);
  });

  it("costs the next event when an idempotent kafkajs producer is used on: why this publisher does not", async () => {
    await open();
    const kafka = new Kafka({
      brokers: [...bench.brokers],
      logLevel: logLevel.NOTHING,
      requestTimeout: 500,
      retry: { retries: 1, initialRetryTime: 10 },
    });
    const producer = kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    const send = (value: string) => producer.send({ topic, messages: [{ key: "a", value }] });
    await send("e1");
    bench.proxy.swallowNext({ apiKey: kafkaApis.produce, count: 2 });
    await expect(send("e2")).rejects.toThrow();
    const [answer] = await send("e3");
    await send("e4");
    await producer.disconnect();
    // "Written at offset 1", where e2 stands: a relay would now delete the row of e3.
    expect(answer).toMatchObject({ errorCode: 0, baseOffset: "1" });
    expect(await valuesIn()).toEqual(["e1", "e2", "e4"]);
  });

  it("is waited for when it is merely late", async () => {
    await open();
    await publishUntilAcked([anEventOf("e1")]);
    bench.proxy.delay({ down: 300 });
    expect((await publisher?.publish([anEventOf("e2")]))?.acks).toHaveLength(1);
    expect(await valuesIn()).toEqual(["e1", "e2"]);
  });
});

describe("a network that goes away", () => {
  it("cut at the answer: a duplicate at most", async () => {
    await open();
    await publishUntilAcked([anEventOf("e1")]);
    const cut = bench.proxy.cutAtNext({ apiKey: kafkaApis.produce });
    const batch = [anEventOf("e2"), anEventOf("e3")];
    const report = await publisher?.publish(batch);
    await cut.happened;
    expect(report?.unknowns).toHaveLength(2);
    await publishUntilAcked(batch);
    await publishUntilAcked([anEventOf("e4")]);
    expect(await valuesIn()).toEqual(["e1", "e2", "e3", "e2", "e3", "e4"]);
  });

  it.each(["up", "both"] as const)(
    "silent (%s): unknown in bounded time, and well again after",
    async (direction) => {
      await open();
      await publishUntilAcked([anEventOf("e1")]);
      bench.proxy.blackHole(direction);
      const started = performance.now();
      const e2 = anEventOf("e2");
      expect((await publisher?.publish([e2]))?.unknowns).toEqual([e2.event]);
      expect(performance.now() - started).toBeLessThan(requestTimeoutMs + 3 * connectionTimeoutMs + 2_000);
      await bench.proxy.heal();
      await publishUntilAcked([e2]);
      await publishUntilAcked([anEventOf("e3")]);
      const firsts = [...new Set(await valuesIn())];
      expect(firsts).toEqual(["e1", "e2", "e3"]);
    },
  );

  it("dead while idle: the next batch finds its way", async () => {
    await open();
    await publishUntilAcked([anEventOf("e1")]);
    bench.proxy.cut();
    await publishUntilAcked([anEventOf("e2")]);
    expect([...new Set(await valuesIn())]).toEqual(["e1", "e2"]);
  });

  it("refusing at the start: BROKER_UNAVAILABLE, and a later call connects", async () => {
    await bench.proxy.refuse();
    await open();
    await expect(publisher?.connect()).rejects.toMatchObject({ code: "BROKER_UNAVAILABLE", retriable: true });
    const e1 = anEventOf("e1");
    expect((await publisher?.publish([e1]))?.unknowns).toEqual([e1.event]);
    await bench.proxy.heal();
    await publisher?.connect();
    await publishUntilAcked([e1]);
    expect(await valuesIn()).toEqual(["e1"]);
  });
});

describe("a broker that goes away", () => {
  it("killed and started again between two batches: nothing lost, nothing out of order", async () => {
    await open();
    await publishUntilAcked([anEventOf("e1"), anEventOf("e2")]);
    const broker = bench.kafka.processes[0];
    await broker?.kill();
    const batch = [anEventOf("e3"), anEventOf("e4")];
    const report = await publisher?.publish(batch);
    expect(report?.unknowns).toHaveLength(2);
    expect(report?.trouble).toBeTruthy();
    await broker?.restart();
    await publishUntilAcked(batch);
    await publishUntilAcked([anEventOf("e5")]);
    expect([...new Set(await valuesIn())]).toEqual(["e1", "e2", "e3", "e4", "e5"]);
  });
});
