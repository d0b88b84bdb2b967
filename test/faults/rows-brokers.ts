/** Rows in which brokers, topics or rights are taken away and given back. */
import { type Admin, Kafka, logLevel } from "kafkajs";
import { kafkaApis } from "../support/proxy.ts";
import { createTopics } from "../support/topics.ts";
import { batchEventsMax, inFlightMax } from "./crew.ts";
import { removedFrom } from "./evidence.ts";
import type { Row } from "./row.ts";
import { proxyOf } from "./rows-kafka.ts";
import { type Scene, standardLoad } from "./scene.ts";
import { until } from "./until.ts";

export async function administer<T>(scene: Scene, work: (admin: Admin) => Promise<T>): Promise<T> {
  const brokers = [...scene.kafka.kafka.brokers];
  const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/** While nothing can be published nothing may be deleted, however long it lasts. */
async function nothingRemoved(scene: Scene, settleMs: number, lastMs: number): Promise<void> {
  await scene.last(settleMs);
  const before = (await removedFrom(scene.client)).length;
  await scene.last(lastMs);
  const after = (await removedFrom(scene.client)).length;
  if (after > before)
    scene.violations.push(`I8: ${after - before} events deleted while nothing was publishable`);
}

const brokerOf = (scene: Scene, at: number) => scene.stage.brokerProcess(scene.kafka, at);

const describeAcl = (topic: string) =>
  ({
    resourceType: 2,
    resourceName: topic,
    resourcePatternType: 3,
    principal: "User:ANONYMOUS",
    host: "*",
    operation: 4,
    permissionType: 2,
  }) as const;

const stallMsMax = 30_000;

export const brokerRows: readonly Row[] = [
  {
    id: "F16",
    title: "kill -9 the first of three brokers, and start it again",
    bound: "stall ≤ 30 s; duplicates ≤ two batches a relay",
    play: { brokers: 3 },
    run: async (scene) => {
      await scene.begin();
      const atMs = scene.fault("kill -9 broker 1");
      await brokerOf(scene, 0).kill();
      const recoveryMs = await scene.flowing(atMs + 500);
      await scene.last(3_000);
      await scene.checkpoint();
      await brokerOf(scene, 0).restart();
      await scene.calm(2_000);
      return { duplicatesMax: 3 * inFlightMax, recoveryMs, recoveryMsMax: stallMsMax };
    },
  },
  {
    id: "F17",
    title: "three brokers restarted cleanly, one after the other",
    bound: "duplicates ≤ two batches a relay and restart",
    play: { brokers: 3 },
    run: async (scene) => {
      await scene.begin();
      let atMs = 0;
      for (const [at, broker] of scene.kafka.kafka.processes.entries()) {
        atMs = scene.fault(`restart of broker ${at + 1}`);
        await broker.kill("SIGTERM");
        await broker.restart();
        await scene.last(1_500);
      }
      const recoveryMs = await scene.flowing(atMs);
      return { duplicatesMax: 9 * inFlightMax, recoveryMs, recoveryMsMax: stallMsMax };
    },
  },
  {
    id: "F18",
    title: "two of three brokers killed: below min.insync.replicas for 8 s",
    bound: "nothing deleted meanwhile; duplicates ≤ two batches a relay",
    play: { brokers: 3 },
    run: async (scene) => {
      await scene.begin();
      const survivors = [brokerOf(scene, 1), brokerOf(scene, 2)];
      scene.fault("kill -9 brokers 2 and 3");
      await Promise.all(survivors.map((broker) => broker.kill()));
      await nothingRemoved(scene, 2_000, 6_000);
      await Promise.all(survivors.map((broker) => broker.restart()));
      const recoveryMs = await scene.flowing(scene.fault("brokers are back"));
      await scene.calm(2_000);
      return { duplicatesMax: 6 * inFlightMax, recoveryMs, recoveryMsMax: stallMsMax };
    },
  },
  {
    id: "F19",
    title: "SIGSTOP the first of three brokers for 8 s",
    bound: "none lost; duplicates ≤ two batches a relay, twice",
    play: { brokers: 3 },
    run: async (scene) => {
      await scene.begin();
      const atMs = scene.fault("SIGSTOP broker 1");
      const frozen = brokerOf(scene, 0);
      frozen.signal("SIGSTOP");
      scene.defer(async () => frozen.signal("SIGCONT"));
      await scene.last(8_000);
      frozen.signal("SIGCONT");
      scene.fault("SIGCONT broker 1");
      const recoveryMs = await scene.flowing(atMs + 500);
      await scene.last(3_000);
      await scene.checkpoint();
      return { duplicatesMax: 6 * inFlightMax, recoveryMs, recoveryMsMax: stallMsMax };
    },
  },
  {
    id: "F20",
    title: "kill -9 the only broker, and start it again",
    bound: "duplicates ≤ two batches a relay",
    run: async (scene) => {
      await scene.begin();
      scene.fault("kill -9 the broker");
      const broker = brokerOf(scene, 0);
      await broker.kill();
      await nothingRemoved(scene, 1_000, 1_500);
      await broker.restart();
      const recoveryMs = await scene.flowing(scene.fault("the broker is back"));
      await scene.calm(1_500);
      return { duplicatesMax: 3 * inFlightMax, recoveryMs, recoveryMsMax: stallMsMax };
    },
  },
  {
    id: "F28",
    title: "the topic grows from 6 to 12 partitions, and every producer is made anew",
    bound: "each aggregate stays in its partition; the relay warns; duplicates ≤ one batch a relay",
    run: async (scene) => {
      await scene.begin();
      await administer(scene, (admin) =>
        admin.createPartitions({ topicPartitions: [{ topic: scene.topic, count: 12 }] }),
      );
      scene.fault("12 partitions");
      // A producer looks at the topic when it begins: a lost answer makes each relay begin a new one.
      await proxyOf(scene).swallowNext({ apiKey: kafkaApis.produce, count: 6 }).happened;
      await until("the relay warns", 20_000, () => scene.crew.wrote("grew to 12 partitions") || undefined);
      await scene.calm(2_000);
      return { duplicatesMax: 6 * batchEventsMax };
    },
  },
  {
    id: "F31",
    title: "the right to write to the topic is revoked for 4 s",
    bound: "nothing deleted meanwhile; at most one attempt a second and lane; no duplicate",
    run: async (scene) => {
      await scene.begin();
      await administer(scene, (admin) => admin.createAcls({ acl: [describeAcl(scene.topic)] }));
      scene.fault("WRITE denied");
      const attempts = scene.crew.said("batch-published");
      await nothingRemoved(scene, 1_000, 3_000);
      const perSecond = (scene.crew.said("batch-published") - attempts) / 4 / scene.crew.alive.length;
      // Every aggregate is a lane of its own, and each may be tried once a second.
      const lanes = Math.ceil(standardLoad.aggregates / scene.crew.alive.length);
      scene.notes.push(
        `${perSecond.toFixed(1)} sends a second and relay while denied, for ${lanes} lanes each`,
      );
      if (perSecond > lanes)
        scene.violations.push(
          `a hot loop: ${perSecond.toFixed(1)} refused sends a second for ${lanes} lanes`,
        );
      await administer(scene, (admin) => admin.deleteAcls({ filters: [describeAcl(scene.topic)] }));
      const recoveryMs = await scene.flowing(scene.fault("WRITE allowed"));
      await scene.calm(2_000);
      return { duplicatesMax: 0, recoveryMs };
    },
  },
  {
    id: "F36",
    title: "the topic is deleted, is missing for 4 s, and is made again",
    bound: "nothing deleted while it is missing; duplicates ≤ two batches a relay",
    run: async (scene) => {
      await scene.begin();
      // What Kafka forgets with the topic has to be read before, and nothing may be written in between.
      proxyOf(scene).blackHole("both");
      await scene.last(500);
      await scene.evidence.remember();
      await administer(scene, (admin) => admin.deleteTopics({ topics: [scene.topic] }));
      scene.fault("topic deleted");
      proxyOf(scene).cut();
      await proxyOf(scene).heal();
      // Rows of a batch that was committed before go with the next one, or when there is none: a while later.
      await nothingRemoved(scene, scene.delivery === "exactly-once" ? 3_000 : 1_000, 3_000);
      await createTopics(scene.kafka.kafka.brokers, [{ topic: scene.topic, partitions: 6 }]);
      const recoveryMs = await scene.flowing(scene.fault("topic made again"));
      await scene.calm(2_000);
      return { duplicatesMax: 3 * inFlightMax, recoveryMs, recoveryMsMax: 10_000 };
    },
  },
];
