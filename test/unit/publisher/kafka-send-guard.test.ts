/** The guard against kafkajs's own repeating. The sending here is kafkajs's, the brokers are not. */
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/foundation/clock.ts";
import { placeOnce, SendGuard } from "../../../src/publisher/kafka-send-guard.ts";
import { manualClock } from "../../support/clock.ts";

const require = createRequire(import.meta.url);
const createSendMessages = require("kafkajs/src/producer/sendMessages") as (
  parts: object,
) => (send: object) => Promise<unknown>;
const createRetry = require("kafkajs/src/retry") as (options: object) => unknown;

class KafkaTrouble extends Error {
  readonly retriable = true;

  constructor(readonly type: string) {
    super(type);
  }
}

type CarryOut = (ask: () => Promise<unknown>) => Promise<unknown>;

const logger = { debug() {}, info() {}, warn() {}, error() {} };
const pending = async () => undefined;

type Partitioner = (given: { message: { partition: number } }) => number;
const readPartition: Partitioner = ({ message }) => message.partition;

/** A promise, and the call that resolves it. */
function signal(): readonly [Promise<void>, () => void] {
  let give: () => void = () => undefined;
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return [given, give];
}

/**
 * A send to partition 0 on one broker and partition 1 on another. The first time the coordinator does not
 * take partition 1; what goes to partition 0 is on its way by then, and arrives when it is sent again, or
 * when the send is given up.
 */
function sendToTwoBrokers(
  carryOut: CarryOut,
  { isCoordinatorLost = false, partitioner = readPartition } = {},
) {
  const written = [0, 0];
  const [onItsWay, depart] = signal();
  const [arrived, arrive] = signal();
  let isRefused = false;
  let departures = 0;
  const brokers = [0, 1].map((partition) => ({
    nodeId: String(partition),
    produce: () =>
      carryOut(async () => {
        if (partition === 0) {
          departures += 1;
          depart();
          if (departures > 1) arrive();
          await arrived;
        }
        written[partition] = (written[partition] ?? 0) + 1;
        const answer = { partition, errorCode: 0, baseOffset: "0" };
        return { topics: [{ topicName: "t", partitions: [answer] }] };
      }),
  }));
  // A coordinator that is not found fails before there is a request that a guard could see.
  const asked: CarryOut = isCoordinatorLost ? (ask) => ask() : carryOut;
  const addPartitionsToTransaction = ([{ partitions }]: [{ partitions: [{ partition: number }] }]) =>
    asked(async () => {
      if (partitions[0].partition === 0 || isRefused) return;
      await onItsWay;
      isRefused = true;
      throw new KafkaTrouble("COORDINATOR_LOAD_IN_PROGRESS");
    });
  const cluster = {
    isConnected: () => true,
    addMultipleTargetTopics: pending,
    refreshMetadataIfNecessary: pending,
    refreshMetadata: pending,
    findTopicPartitionMetadata: () => [{ partitionId: 0 }, { partitionId: 1 }],
    findLeaderForPartitions: () => ({ 0: [0], 1: [1] }),
    findBroker: async ({ nodeId }: { nodeId: string }) => brokers[Number(nodeId)],
  };
  const eosManager = {
    isTransactional: () => true,
    getTransactionalId: () => "id",
    getProducerId: () => 1,
    getProducerEpoch: () => 0,
    getSequence: () => 0,
    updateSequence() {},
    acquireBrokerLock: pending,
    releaseBrokerLock: pending,
    addPartitionsToTransaction,
  };
  const retrier = createRetry({ retries: 8, initialRetryTime: 1, factor: 0, multiplier: 1, maxRetryTime: 1 });
  const sendMessages = createSendMessages({ logger, cluster, partitioner, eosManager, retrier });
  const messages = [0, 1].map((partition) => ({ partition, value: "v" }));
  const sent = sendMessages({ acks: -1, timeout: 1_000, topicMessages: [{ topic: "t", messages }] });
  sent.catch(arrive);
  return { written, sent };
}

describe("a send to two brokers of which one fails", () => {
  it("is repeated by kafkajs while its other half is on its way, which is then written twice", async () => {
    const { written, sent } = sendToTwoBrokers((ask) => ask());
    await sent;
    await new Promise(setImmediate);
    expect(written).toEqual([2, 1]);
  });

  it("is made once under the guard, and fails", async () => {
    const guard = new SendGuard(systemClock);
    guard.begin();
    const { written, sent } = sendToTwoBrokers(guard.carryOut);
    await expect(sent).rejects.toThrow("not repeated");
    await new Promise(setImmediate);
    expect(written).toEqual([1, 0]);
  });
});

describe("a send to two brokers whose coordinator is lost", () => {
  it("gets past the guard of its requests, and is written twice", async () => {
    const guard = new SendGuard(systemClock);
    guard.begin();
    const { written, sent } = sendToTwoBrokers(guard.carryOut, { isCoordinatorLost: true });
    await sent;
    await new Promise(setImmediate);
    expect(written).toEqual([2, 1]);
  });

  it("is made once when no message is placed twice, and fails", async () => {
    const guard = new SendGuard(systemClock);
    guard.begin();
    const partitioner = placeOnce() as Partitioner;
    const { written, sent } = sendToTwoBrokers(guard.carryOut, { isCoordinatorLost: true, partitioner });
    await expect(sent).rejects.toThrow("not repeated");
    await new Promise(setImmediate);
    expect(written).toEqual([1, 0]);
  });
});

describe("the guard", () => {
  const trouble = (type: string) => async () => {
    throw new KafkaTrouble(type);
  };

  it("refuses what follows a failure, until the next send", async () => {
    const guard = new SendGuard(manualClock());
    guard.begin();
    await expect(guard.carryOut(trouble("NOT_COORDINATOR"))).rejects.toThrow("NOT_COORDINATOR");
    await expect(guard.carryOut(async () => "made")).rejects.toThrow("not repeated");
    guard.begin();
    await expect(guard.carryOut(async () => "made")).resolves.toBe("made");
  });

  it("asks again while the transaction before is being ended, which is no failure; but not for ever", async () => {
    const clock = manualClock();
    const guard = new SendGuard(clock);
    guard.begin();
    let asked = 0;
    const busyTimes = (times: number) =>
      guard.carryOut(async () => {
        asked += 1;
        if (asked <= times) throw new KafkaTrouble("CONCURRENT_TRANSACTIONS");
        return "made";
      });
    const made = busyTimes(2);
    await clock.asleep();
    await clock.advance(100);
    await expect(made).resolves.toBe("made");
    asked = 0;
    const given = expect(busyTimes(1_000)).rejects.toThrow("CONCURRENT_TRANSACTIONS");
    await clock.asleep();
    await clock.advance(60_000);
    await given;
  });
});
