/**
 * The promise of the Kafka publisher under arbitrary answers: brokers that refuse, forget, cut and keep
 * silent at random, and a caller that does what the relay does (publish again what is unknown).
 *
 *     nothing is acked that is not in the log; nothing that was not refused is missing from it; and the
 *     first occurrences of every aggregate stand in the order in which they were handed over
 */
import { describe, expect, it } from "vitest";
import type { Message } from "../../src/event/message.ts";
import { KafkaPublisher } from "../../src/publisher/kafka.ts";
import { FakeCluster } from "../support/fake-broker.ts";
import { aMessage } from "../support/messages.ts";

/** mulberry32: small, seeded, good enough to choose faults. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function misbehave(cluster: FakeCluster, random: () => number): void {
  const transient = [5, 6, 7, 13, 19, 20];
  cluster.script = {
    answer: ({ records, bytes }) => {
      if (records.some(({ value }) => value.includes("poison"))) return { errorCode: 87 };
      if (bytes > 2_500) return { errorCode: 10 };
      const luck = random();
      if (luck < 0.1) return { errorCode: transient[Math.floor(random() * transient.length)] ?? 6 };
      if (luck < 0.14) return { errorCode: 20, isWritten: true };
      if (luck < 0.18) return { isOmitted: true, isWritten: random() < 0.5 };
      return {};
    },
    deliver: ({ api }) => {
      if (api !== "Produce") return "send";
      const luck = random();
      return luck < 0.1 ? "cut" : luck < 0.11 ? "swallow" : "send";
    },
  };
}

/** SEED=n repeats one run; RUNS=n makes more of them. */
const { SEED, RUNS = "4" } = process.env;
const seeds =
  SEED === undefined ? Array.from({ length: Number(RUNS) }, () => Math.random() * 2 ** 31) : [Number(SEED)];

describe("a publisher among brokers that answer anything", () => {
  it.each(seeds.map((seed) => seed | 0))("keeps its promise (SEED=%i)", async (seed) => {
    const random = randomOf(seed);
    const cluster = await FakeCluster.start(2);
    cluster.topics.set("t", { partitions: 4, leaderOf: (partition) => partition % 2 });
    cluster.topics.set("u", { partitions: 1, leaderOf: () => 1 });
    const publisher = new KafkaPublisher(
      {
        brokers: cluster.brokers,
        clientId: "random",
        tls: null,
        sasl: null,
        requestTimeoutMs: 200,
        connectionTimeoutMs: 1_000,
        compression: "none",
        requestBytesMax: 4_000,
      },
      () => undefined,
    );
    try {
      const messages = Array.from({ length: 400 }, (_, n) =>
        aMessage({
          topic: random() < 0.85 ? "t" : "u",
          aggregateId: `a${Math.floor(random() * 25)}`,
          value: random() < 0.01 ? `poison ${n}` : `${n}`.padEnd(5 + Math.floor(random() * 120), "."),
        }),
      );
      misbehave(cluster, random);
      const { acked, blocked } = await relayAll(publisher, messages);
      expectPromise(cluster, messages, acked, blocked);
    } finally {
      await publisher.close();
      await cluster.stop();
    }
  });
});

/** Publishes in batches, repeating what is unknown; an aggregate ends at its first rejection. */
async function relayAll(publisher: KafkaPublisher, messages: readonly Message[]) {
  const acked = new Set<string>();
  const blocked = new Map<string, string>();
  for (let at = 0; at < messages.length; at += 100) {
    let rest = messages.slice(at, at + 100).filter(({ key }) => !blocked.has(key));
    for (let attempts = 0; rest.length > 0; attempts += 1) {
      expect(attempts).toBeLessThan(200);
      const report = await publisher.publish(rest);
      const listed =
        report.acks.length + report.rejections.length + report.unknowns.length + report.held.length;
      expect(listed).toBe(rest.length);
      for (const { eventId } of report.acks) acked.add(eventId);
      for (const { event } of report.rejections) blocked.set(event.aggregateId, event.eventId);
      rest = rest.filter(({ key, event }) => !acked.has(event.eventId) && !blocked.has(key));
    }
  }
  return { acked, blocked };
}

function expectPromise(
  cluster: FakeCluster,
  messages: readonly Message[],
  acked: ReadonlySet<string>,
  blocked: ReadonlyMap<string, string>,
): void {
  // An aggregate may live in two topics: its order across them is the order of the appends.
  const order = new Map<string, Set<string>>();
  for (const { key, value } of cluster.appended) {
    order.set(key, (order.get(key) ?? new Set()).add(value));
  }
  for (const key of new Set(messages.map((message) => message.key))) {
    const ofLane = messages.filter((message) => message.key === key);
    const blockedAt = ofLane.findIndex(({ event }) => event.eventId === blocked.get(key));
    const due = blockedAt < 0 ? ofLane : ofLane.slice(0, blockedAt);
    expect(due.every(({ event }) => acked.has(event.eventId))).toBe(true);
    expect([...(order.get(key) ?? [])]).toEqual(due.map(({ value }) => value));
    if (blockedAt >= 0) expect(String(ofLane[blockedAt]?.value)).toContain("poison");
  }
}
