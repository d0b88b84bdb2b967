import { Kafka, logLevel } from "kafkajs";
import pg from "pg";
import { describe, expect, inject, it } from "vitest";
import { freshDatabase } from "../support/database.ts";
import { createTopics, readTopic, uniqueTopic } from "../support/topics.ts";

describe("the parts of a run", () => {
  it("give each test a database of its own, and take it back", async () => {
    const database = await freshDatabase();
    const client = new pg.Client({ connectionString: database.url });
    client.on("error", () => undefined);
    await client.connect();
    await client.query("create table kept (id int)");
    await database.drop();
    const refused = new pg.Client({ connectionString: database.url });
    await expect(refused.connect()).rejects.toThrow(/does not exist/);
  });

  it("read a topic whole: keys, values, headers, partitions, offsets", async () => {
    const brokers = inject("kafkaBrokers");
    const topic = uniqueTopic("whole");
    await createTopics(brokers, [{ topic, partitions: 3 }]);
    const producer = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING }).producer();
    await producer.connect();
    await producer.send({
      topic,
      messages: [
        { partition: 2, key: "a", value: "1", headers: { event_id: "x" } },
        { partition: 0, key: "b", value: "2" },
        { partition: 2, key: null, value: null },
      ],
    });
    await producer.disconnect();
    const received = await readTopic(brokers, topic);
    expect(received).toMatchObject([
      { partition: 0, offset: 0, key: "b", value: "2", headers: {} },
      { partition: 2, offset: 0, key: "a", value: "1", headers: { event_id: "x" } },
      { partition: 2, offset: 1, key: null, value: null, bytes: null },
    ]);
  });

  it("leave out the records of an aborted transaction when asked for committed ones", async () => {
    const brokers = inject("kafkaBrokers");
    const topic = uniqueTopic("committed");
    await createTopics(brokers, [{ topic }]);
    const producer = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING }).producer({
      transactionalId: uniqueTopic("writer"),
      idempotent: true,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    const aborted = await producer.transaction();
    await aborted.send({ topic, messages: [{ value: "aborted" }] });
    await aborted.abort();
    const committed = await producer.transaction();
    await committed.send({ topic, messages: [{ value: "committed" }] });
    await committed.commit();
    await producer.disconnect();
    const values = async (isolation: "committed" | "uncommitted") =>
      (await readTopic(brokers, topic, { isolation })).map(({ value }) => value);
    expect(await values("uncommitted")).toEqual(["aborted", "committed"]);
    expect(await values("committed")).toEqual(["committed"]);
  });
});
