/** What a publisher of numbered transactions must do: Kafka itself, and the model that unit tests use. */
import { describe, expect, inject, it } from "vitest";
import { allGroups } from "../../src/event/shard.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { KafkaProducer } from "../../src/publisher/kafka-producer.ts";
import { KafkaProgress } from "../../src/publisher/kafka-progress.ts";
import { transactionalMake } from "../../src/publisher/kafka-transaction-desk.ts";
import { KafkaTransactions } from "../../src/publisher/kafka-transactions.ts";
import { repairKafkajs } from "../../src/publisher/kafkajs-repairs.ts";
import type { TransactionalPublisher } from "../../src/publisher/transactional-publisher.ts";
import { aMessage } from "../support/messages.ts";
import { ModelTransactions, modelPublisher } from "../support/model-transactions.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

interface Given {
  /** Two relays' ends of the same group. */
  readonly a: TransactionalPublisher;
  readonly b: TransactionalPublisher;
  readonly topic: string;
  /** What a reader of committed records sees, in order. */
  committed(): Promise<string[]>;
}

const kafkaOptions = () => ({
  brokers: inject("kafkaBrokers").split(","),
  clientId: "test",
  tls: null,
  sasl: null,
  requestTimeoutMs: 5_000,
  connectionTimeoutMs: 2_000,
  compression: "none" as const,
  requestBytesMax: 900_000,
});

/** Kafka answers a commit when it is decided; each partition shows it a moment later. */
const soon = { timeout: 10_000 };

const progressTopic = "outrider-progress";

function kafkaEnd(outboxName: string): KafkaTransactions {
  const options = { group: 2, groupCount: allGroups.length, progressTopic, transactionTimeoutMs: 10_000 };
  return new KafkaTransactions(
    kafkaOptions(),
    { ...options, outboxName: async () => outboxName },
    () => undefined,
  );
}

async function onKafka(settings: Readonly<Record<string, string>> = {}): Promise<Given> {
  const topic = uniqueTopic("transactions");
  const brokers = inject("kafkaBrokers");
  await createTopics(brokers, [{ topic, partitions: 3, settings }]);
  const name = uniqueTopic("outbox");
  return {
    a: kafkaEnd(name),
    b: kafkaEnd(name),
    topic,
    committed: async () =>
      (await readTopic(brokers, topic, { isolation: "committed" })).map(({ headers }) =>
        String(headers.event_id),
      ),
  };
}

async function onModel(): Promise<Given> {
  const kafka = new ModelTransactions();
  const end = () => modelPublisher({ kafka, nextFate: () => "done" });
  return { a: end(), b: end(), topic: "t", committed: async () => [...kafka.committed] };
}

const always = async () => true;

const idsOf = (messages: readonly { event: { eventId: string } }[]) =>
  messages.map(({ event }) => event.eventId);

async function publish(
  publisher: TransactionalPublisher,
  number: number,
  messages: ReturnType<typeof aMessage>[],
) {
  const { sendable } = await publisher.prepare(messages);
  return publisher.commit(number, sendable, always);
}

for (const [name, open] of Object.entries({ model: onModel, Kafka: onKafka })) {
  describe(`transactional publisher contract: ${name}`, () => {
    it("keeps the number together with the events", async () => {
      const { a, b, topic, committed } = await open();
      expect(await a.takeOver()).toBeNull();
      expect(await a.commit(0, [], always)).toMatchObject({ kind: "committed", progress: { number: 0 } });
      const first = [1, 2, 3].map((n) => aMessage({ topic, aggregateId: `a${n % 2}` }));
      const second = [aMessage({ topic, aggregateId: "a1" })];
      expect(await publish(a, 1, first)).toMatchObject({ kind: "committed", progress: { number: 1 } });
      expect(await publish(a, 2, second)).toMatchObject({ kind: "committed", progress: { number: 2 } });
      await expect
        .poll(async () => (await committed()).sort(), soon)
        .toEqual(idsOf([...first, ...second]).sort());
      expect(await b.takeOver()).toMatchObject({ number: 2 });
      await Promise.all([a.close(), b.close()]);
    });

    it("commits nothing that it may not commit, and has to be taken over then", async () => {
      const { a, b, topic, committed } = await open();
      await a.takeOver();
      await a.commit(0, [], always);
      const refused = [aMessage({ topic, aggregateId: "a" })];
      const { sendable } = await a.prepare(refused);
      expect(await a.commit(1, sendable, async () => false)).toMatchObject({ kind: "aborted" });
      expect((await a.commit(2, [], always)).kind, "a spent producer stays spent").toBe("aborted");
      expect(await b.takeOver()).toMatchObject({ number: 0 });
      const theirs = [aMessage({ topic, aggregateId: "a" })];
      expect(await publish(b, 1, theirs)).toMatchObject({ kind: "committed" });
      await expect.poll(committed, soon).toEqual(idsOf(theirs));
      await Promise.all([a.close(), b.close()]);
    });

    it("lets nobody commit who was taken over", async () => {
      const { a, b, topic, committed } = await open();
      await a.takeOver();
      await a.commit(0, [], always);
      const mine = [aMessage({ topic, aggregateId: "a" })];
      const { sendable } = await a.prepare(mine);
      expect(await b.takeOver()).toMatchObject({ number: 0 });
      expect((await a.commit(1, sendable, always)).kind).not.toBe("committed");
      expect((await a.commit(1, [], always)).kind, "a spent producer stays spent").toBe("aborted");
      const theirs = [aMessage({ topic, aggregateId: "a" })];
      expect(await publish(b, 1, theirs)).toMatchObject({ kind: "committed" });
      await expect.poll(committed, soon).toEqual(idsOf(theirs));
      await Promise.all([a.close(), b.close()]);
    });
  });
}

describe("Kafka transactions", () => {
  it("isolates the one event that is too large, and commits the others without it", async () => {
    const { a, topic, committed } = await onKafka({ "max.message.bytes": "2000" });
    await a.takeOver();
    await a.commit(0, [], always);
    const large = aMessage({ topic, aggregateId: "large", value: "x".repeat(5_000) });
    const small = Array.from({ length: 5 }, (_, n) => aMessage({ topic, aggregateId: `small-${n}` }));
    let number = 0;
    let rest = [small[0], large, ...small.slice(1)].filter((message) => message !== undefined);
    const rejected: string[] = [];
    for (;;) {
      const outcome = await publish(a, ++number, rest);
      if (outcome.kind === "committed") break;
      expect(outcome).toMatchObject({ kind: "aborted", isRefused: true });
      if (outcome.kind === "aborted") rejected.push(...outcome.rejections.map(({ event }) => event.eventId));
      rest = rest.filter(({ event }) => !rejected.includes(event.eventId));
      await a.takeOver();
    }
    expect(rejected).toEqual([large.event.eventId]);
    await expect.poll(async () => (await committed()).sort(), soon).toEqual(idsOf(small).sort());
    await a.close();
  });

  it("rejects a topic that is not there before anything is written down", async () => {
    const { a } = await onKafka();
    await a.takeOver();
    const { sendable, report } = await a.prepare([
      aMessage({ topic: uniqueTopic("absent"), aggregateId: "a" }),
    ]);
    expect(sendable).toEqual([]);
    expect(report.rejections).toMatchObject([{ reason: "topic-unknown" }]);
    await a.close();
  });

  it("waits for the end of a transaction before it believes a number", async () => {
    repairKafkajs();
    const groupId = uniqueTopic("outbox");
    const place = { groupId, topic: progressTopic, partition: 2, partitions: allGroups.length };
    const progress = new KafkaProgress(kafkaOptions(), systemClock);
    expect(await progress.read(place)).toBeNull();
    const make = transactionalMake(`${groupId}-2`, 10_000, systemClock);
    const { brokers } = kafkaOptions();
    const producer = new KafkaProducer(make, kafkaOptions(), brokers, () => undefined, systemClock);
    await producer.connect();
    await producer.ask("number", (desk) => desk.record(place, 41));
    const order: string[] = [];
    const reading = progress.read(place).then((number) => {
      order.push("read");
      return number;
    });
    // The coordinator has the number and not the end: a reader that did not insist would now be told null.
    await systemClock.sleep(300);
    order.push("commit");
    await producer.ask("commit", (desk) => desk.commit());
    expect(await reading).toBe(41);
    expect(order).toEqual(["commit", "read"]);
    await producer.dispose();
  });
});
