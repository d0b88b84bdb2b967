import { createRequire } from "node:module";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { kafkajsVersion, readResponses, repairKafkajs } from "../../../src/publisher/kafkajs-repairs.ts";

interface Queue {
  readonly pending: unknown[];
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  scheduleCheckPendingRequests(): void;
  scheduleRequestTimeoutCheck(): void;
  push(request: object): void;
  fulfillRequest(response: object): void;
  rejectAll(error: Error): void;
  destroy(): void;
}

const require = createRequire(import.meta.url);
const RequestQueue = require("kafkajs/src/network/requestQueue") as new (options: object) => Queue;
const logger = { debug() {} };
const aQueue = () =>
  new RequestQueue({ maxInFlightRequests: 1, requestTimeout: 1_000, enforceRequestTimeout: true, logger });

/** Hands a queue one request; `outcome` is its end. */
function send(queue: Queue, correlationId: number): { outcome: Promise<unknown> } {
  const outcome = new Promise((resolve, reject) => {
    const entry = { apiName: "any", apiKey: 0, apiVersion: 0, correlationId, resolve, reject };
    queue.push({ entry, expectResponse: true, sendRequest() {} });
  });
  outcome.catch(() => undefined);
  return { outcome };
}

describe("the repaired request queue", () => {
  it("sets no timer while nothing is pending; untouched, it wakes up again and again", () => {
    const untouched = aQueue();
    untouched.scheduleCheckPendingRequests();
    expect(untouched.throttleCheckTimeoutId).not.toBeNull();
    untouched.destroy();

    repairKafkajs();
    repairKafkajs();
    const repaired = aQueue();
    repaired.scheduleCheckPendingRequests();
    expect(repaired.throttleCheckTimeoutId).toBeNull();
  });

  it("still looks after what is pending", () => {
    repairKafkajs();
    const queue = aQueue();
    queue.pending.push({});
    queue.scheduleCheckPendingRequests();
    expect(queue.throttleCheckTimeoutId).not.toBeNull();
    queue.destroy();
  });
});

describe("the watch over requests that take too long", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    repairKafkajs();
  });
  afterEach(() => vi.useRealTimers());

  it("sets no timer while nothing is in flight, and none any more once all is answered", () => {
    const queue = aQueue();
    queue.scheduleRequestTimeoutCheck();
    expect(vi.getTimerCount()).toBe(0);
    send(queue, 1);
    expect(vi.getTimerCount()).toBe(1);
    queue.fulfillRequest({ correlationId: 1, size: 0, payload: null });
    vi.advanceTimersByTime(200);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("ends what gets no answer, also after an idle time", async () => {
    const queue = aQueue();
    send(queue, 1);
    queue.fulfillRequest({ correlationId: 1, size: 0, payload: null });
    vi.advanceTimersByTime(5_000);
    const unanswered = send(queue, 2);
    vi.advanceTimersByTime(1_300);
    await expect(unanswered.outcome).rejects.toThrow("timed out");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("goes on after a connection was closed with a request under way and opened again", async () => {
    const queue = aQueue();
    send(queue, 1);
    queue.destroy();
    expect(vi.getTimerCount()).toBe(0);
    queue.rejectAll(new Error("closed"));
    queue.scheduleRequestTimeoutCheck();
    const unanswered = send(queue, 2);
    vi.advanceTimersByTime(1_300);
    await expect(unanswered.outcome).rejects.toThrow("timed out");
  });
});

interface Coordinator {
  findGroupCoordinator(question: { groupId: string; coordinatorType: number }): Promise<unknown>;
  endTxn(question: object): Promise<unknown>;
}

interface Pool {
  readonly socketFactory: object;
  getConnectionByRequest(): Promise<{ send(): Promise<unknown> }>;
}

const Broker = require("kafkajs/src/broker") as new (options: object) => Coordinator;
const ConnectionPool = require("kafkajs/src/network/connectionPool") as { readonly prototype: Pool };

/** A broker of kafkajs over a connection that counts, and fails with an error of this type when it is told to. */
function aBroker() {
  const sent = { count: 0, failure: "" };
  const connection = {
    send: async () => {
      sent.count += 1;
      if (sent.failure !== "") throw Object.assign(new Error(sent.failure), { type: sent.failure });
      return { coordinator: { nodeId: 1 } };
    },
  };
  const connectionPool: Pool = Object.assign(Object.create(ConnectionPool.prototype), {
    socketFactory: {},
    getConnectionByRequest: async () => connection,
  });
  const broker = new Broker({ connectionPool, logger: { namespace: () => logger } });
  Object.assign(broker, { lookupRequest: () => () => ({ request: { apiName: "any" }, response: {} }) });
  return { broker, sent, connectionPool };
}

describe("the coordinator", () => {
  const ofTransaction = { groupId: "t", coordinatorType: 1 };

  it("is asked for once where answers are kept, and every time where they are not", async () => {
    repairKafkajs();
    const [kept, untouched] = [aBroker(), aBroker()];
    readResponses(kept.connectionPool.socketFactory, { coordinators: new Map() });
    for (const { broker } of [kept, untouched]) {
      await broker.findGroupCoordinator(ofTransaction);
      await broker.findGroupCoordinator(ofTransaction);
      await broker.findGroupCoordinator({ ...ofTransaction, coordinatorType: 0 });
    }
    expect([kept.sent.count, untouched.sent.count]).toEqual([2, 3]);
  });

  it('is asked for again after an error, but not after a mere "not yet"', async () => {
    repairKafkajs();
    const { broker, sent, connectionPool } = aBroker();
    readResponses(connectionPool.socketFactory, { coordinators: new Map() });
    await broker.findGroupCoordinator(ofTransaction);
    for (const [failure, asked] of [
      ["CONCURRENT_TRANSACTIONS", 0],
      ["NOT_COORDINATOR_FOR_GROUP", 1],
    ] as const) {
      sent.failure = failure;
      await expect(broker.endTxn({})).rejects.toThrow(failure);
      sent.failure = "";
      const before = sent.count;
      await broker.findGroupCoordinator(ofTransaction);
      expect(sent.count - before).toBe(asked);
    }
  });
});

describe("the version of kafkajs", () => {
  it("is pinned to the one whose insides were read", () => {
    const { dependencies } = require("../../../package.json") as { dependencies: { kafkajs: string } };
    expect(dependencies.kafkajs).toBe(kafkajsVersion);
  });
});
