/** Whether Kafka is up: not when its port is open, but when it answers what clients ask first. */
import { Kafka, logLevel } from "kafkajs";
import { systemClock } from "../foundation/clock.ts";

const soonMs = 20_000;
const pauseMs = 100;

/** Like `accepts`, asked again for a while: between saying that it has started and answering. */
export async function acceptsSoon(addresses: readonly string[]): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + soonMs;
  while (systemClock.monotonicMs() < deadlineMs) {
    const isUp = await accepts(addresses).then(
      () => true,
      // The last question below gets to say what is wrong.
      () => false,
    );
    if (isUp) return;
    await systemClock.sleep(pauseMs);
  }
  await accepts(addresses);
}

/** Resolves when the brokers answer, know each other and have a controller; rejects while not. */
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
