/** The example of a consumer, run as a reader would run it, with every message delivered twice. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { Kafka, logLevel, Partitioners } from "kafkajs";
import pg from "pg";
import { expect, inject, it } from "vitest";
import { migratedDatabase } from "../support/migrated-database.ts";
import { createTopics, uniqueTopic } from "../support/topics.ts";

const root = path.resolve(import.meta.dirname, "../..");

it("examples/inbox.ts books each payment once", async () => {
  const brokers = inject("kafkaBrokers");
  const topic = uniqueTopic("example");
  const database = await migratedDatabase();
  const client = new pg.Client(database.url);
  await client.connect();
  await createTopics(brokers, [{ topic }]);
  const kafka = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const payments = [1, 2, 3].map((n) => ({
    key: "a",
    value: JSON.stringify({ account: "a", cents: n }),
    headers: { event_id: `0193a0e2-0000-7000-8000-00000000000${n}` },
  }));
  await producer.send({ topic, messages: [...payments, ...payments] });
  await producer.disconnect();
  const consumer = spawn(process.execPath, ["--import", "tsx", path.join(root, "examples/inbox.ts")], {
    cwd: root,
    env: {
      ...process.env,
      TSX_TSCONFIG_PATH: path.join(root, "examples/tsconfig.json"),
      DATABASE_URL: database.url,
      KAFKA_BROKERS: brokers,
      TOPIC: topic,
    },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const said: string[] = [];
  for await (const line of createInterface({ input: consumer.stdout })) {
    // The library's own log is JSON.
    if (!line.startsWith("{")) said.push(line);
    if (said.length === 6) break;
  }
  consumer.kill("SIGTERM");
  await once(consumer, "exit");
  expect(said).toEqual([
    ...[1, 2, 3].map((n) => `a: booked ${n}`),
    ...[1, 2, 3].map(() => "a: was booked before"),
  ]);
  expect((await client.query("select account, cents from balances")).rows).toEqual([
    { account: "a", cents: "6" },
  ]);
  await client.end();
  await database.drop();
});
