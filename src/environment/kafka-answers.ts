/** Resolves when the brokers answer, know each other and have a controller; rejects while not. */
import { Kafka, logLevel } from "kafkajs";

export async function accepts(addresses: readonly string[], brokerCount = addresses.length): Promise<void> {
  const admin = new Kafka({
    brokers: [...addresses],
    logLevel: logLevel.NOTHING,
    connectionTimeout: 1_000,
    requestTimeout: 2_000,
    retry: { retries: 0 },
  }).admin();
  try {
    await admin.connect();
    const cluster = await admin.describeCluster();
    if (cluster.brokers.length < brokerCount || cluster.controller === null) {
      throw new Error(`${cluster.brokers.length} of ${brokerCount} brokers are there`);
    }
  } finally {
    await admin.disconnect();
  }
}
