/** A Kafka publisher in front of a fake cluster, anew for each test of a file. */
import { afterEach, beforeEach } from "vitest";
import { type Clock, systemClock } from "../../src/foundation/clock.ts";
import { type KafkaOptions, KafkaPublisher } from "../../src/publisher/kafka.ts";
import { partitionOf } from "../../src/publisher/kafka-partitions.ts";
import type { PublisherRemark } from "../../src/publisher/publisher.ts";
import { FakeCluster } from "./fake-broker.ts";

export let cluster: FakeCluster;
export let remarks: PublisherRemark[];

let publishers: KafkaPublisher[];

beforeEach(async () => {
  cluster = await FakeCluster.start(2);
  publishers = [];
  remarks = [];
});

afterEach(async () => {
  for (const publisher of publishers) await publisher.close();
  await cluster.stop();
});

export function publisherWith(
  changes: Partial<KafkaOptions> = {},
  clock: Clock = systemClock,
): KafkaPublisher {
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
export function aggregateIn(partition: number, count: number, name = "a"): string {
  for (let n = 0; ; n += 1) if (partitionOf(`${name}${n}`, count) === partition) return `${name}${n}`;
}
