import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { kafkajsVersion, repairKafkajs } from "../../../src/publisher/kafkajs-repairs.ts";

interface Queue {
  readonly pending: unknown[];
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  scheduleCheckPendingRequests(): void;
  destroy(): void;
}

const require = createRequire(import.meta.url);
const RequestQueue = require("kafkajs/src/network/requestQueue") as new (options: object) => Queue;
const logger = { debug() {} };
const aQueue = () => new RequestQueue({ maxInFlightRequests: 1, requestTimeout: 1_000, logger });

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

describe("the version of kafkajs", () => {
  it("is pinned to the one whose insides were read", () => {
    const { dependencies } = require("../../../package.json") as { dependencies: { kafkajs: string } };
    expect(dependencies.kafkajs).toBe(kafkajsVersion);
  });
});
