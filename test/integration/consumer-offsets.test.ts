/** What a consumer commits, on a real Kafka: never more than what is done, whatever kills it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { Partitioners } from "kafkajs";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { systemClock } from "../../src/foundation/clock.ts";
import type { GroupConsumer } from "../../src/inbox/consumer.ts";
import {
  committedOffsets,
  EventTopic,
  endOffsets,
  GroupLog,
  judgeGroup,
  kafkaOf,
  type MemberChoices,
  makeMember,
} from "../support/group-members.ts";
import { uniqueTopic } from "../support/topics.ts";

const brokers = inject("kafkaBrokers");
const root = path.resolve(import.meta.dirname, "../..");

describe("a consumer that is killed", () => {
  const kills = 2;

  /** Runs a member in a process of its own until it has printed what is wanted, then ends it. */
  async function live(
    environment: {
      readonly group: string;
      readonly events: EventTopic;
      readonly ledger: "eager" | "low-water";
    },
    signal: NodeJS.Signals,
    onDone: (line: string) => boolean,
  ): Promise<void> {
    const { group, events, ledger } = environment;
    const child = spawn(process.execPath, ["--import", "tsx", "test/support/consumer-process.ts"], {
      cwd: root,
      env: { PATH: process.env.PATH, BROKERS: brokers, GROUP: group, TOPIC: events.topic, LEDGER: ledger },
      stdio: ["ignore", "pipe", "inherit"],
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (onDone(line)) child.kill(signal);
    });
    await once(child, "exit");
  }

  const write = async (): Promise<EventTopic> => {
    const events = await EventTopic.make(brokers, 3);
    for (let n = 0; n < 60; n += 1) {
      await events.send(Array.from({ length: 20 }, (_, m) => `aggregate-${(n * 7 + m * m) % 30}`));
    }
    return events;
  };

  it(`loses nothing, ${kills} times -9`, { timeout: 120_000 }, async () => {
    const events = await write();
    const group = uniqueTopic("group");
    const lines: string[] = [];
    for (let life = 0; life < kills; life += 1) {
      const before = lines.length;
      await live(
        { group, events, ledger: "low-water" },
        "SIGKILL",
        (line) => lines.push(line) === before + 150,
      );
    }
    await live({ group, events, ledger: "low-water" }, "SIGTERM", (line) => {
      lines.push(line);
      return new Set(lines).size === events.sent.length;
    });
    const handlings = lines.map((line, n) => {
      const [eventId = "", aggregateId = ""] = line.split(" ");
      const event = { eventId, aggregateId, partition: 0 };
      return { member: "", event, begun: 2 * n, ended: 2 * n + 1, isDone: true };
    });
    const verdict = judgeGroup(events.sent, handlings);
    console.log(JSON.stringify({ events: events.sent.length, kills, ...verdict }));
    expect(verdict).toMatchObject({ missing: 0, inversions: 0 });
    await events.close();
  });

  it("would lose what it had committed at the end of its fetch, and that is seen", async () => {
    const events = await write();
    const group = uniqueTopic("group");
    const done = new Set<string>();
    await live({ group, events, ledger: "eager" }, "SIGKILL", (line) => done.add(line).size === 150);
    const committed = await committedOffsets(brokers, group, events.topic);
    // What lies below is never read again.
    expect(committed.reduce((sum, offset) => sum + Math.max(0, offset), 0)).toBeGreaterThan(done.size);
    await events.close();
  });
});

describe("a consumer", () => {
  let events: EventTopic;
  let groupId: string;
  let log: GroupLog;
  const members: GroupConsumer[] = [];

  beforeEach(async () => {
    groupId = uniqueTopic("group");
    log = new GroupLog();
    events = await EventTopic.make(brokers, 1);
  });
  afterEach(async () => {
    await Promise.all(members.splice(0).map((member) => member.stop()));
    await events.close();
  });

  const make = (work: MemberChoices["work"], choices: Partial<MemberChoices> = {}): GroupConsumer => {
    const made = makeMember({ brokers, groupId, log, name: "member", work, topic: events.topic, ...choices });
    members.push(made);
    return made;
  };

  it("passes over aborted transactions and commits up to the end, their markers included", async () => {
    const producer = kafkaOf(brokers).producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      transactionalId: uniqueTopic("transaction"),
      maxInFlightRequests: 1,
      idempotent: true,
    });
    await producer.connect();
    const member = make(async () => undefined);
    for (const outcome of ["abort", "commit", "abort", "commit"] as const) {
      const transaction = await producer.transaction();
      const headers = { event_id: crypto.randomUUID(), created_at: "2026-01-01T00:00:00.000000Z" };
      await transaction.send({
        topic: events.topic,
        messages: [1, 2].map((n) => ({ key: outcome, value: String(n), headers })),
      });
      await transaction[outcome]();
    }
    await producer.disconnect();
    await member.start();
    await log.until(() => log.handlings.length === 4);
    await member.stop();
    expect(log.handlings.map(({ event }) => event.aggregateId)).toEqual(Array(4).fill("commit"));
    const end = await endOffsets(brokers, events.topic);
    expect(end).toEqual([12]);
    expect(await committedOffsets(brokers, groupId, events.topic)).toEqual(end);
  });

  it("stops when what runs is done, and begins nothing more", async () => {
    await events.send(Array.from({ length: 50 }, () => "one"));
    const running = deferred();
    const release = deferred();
    const member = make(async () => {
      running.resolve();
      await release.promise;
    });
    await member.start();
    await running.promise;
    const stopped = member.stop();
    expect(member.stop()).toBe(stopped);
    release.resolve();
    await stopped;
    await member.finished;
    expect(log.handlings).toHaveLength(1);
    expect(log.handlings[0]?.ended).toBeDefined();
    expect(log.said("consumer-stopped")).toEqual([{ type: "consumer-stopped", handledTotal: 1 }]);
    expect(await committedOffsets(brokers, groupId, events.topic)).toEqual([1]);
  });

  it("tells work that takes too long that its time is over, and does not commit it", async () => {
    await events.send(["one", "one"]);
    const running = deferred();
    const consumer = kafkaOf(brokers).consumer({ groupId, maxWaitTimeInMs: 100 });
    const { consume } = await import("../../src/index.ts");
    let told: unknown;
    const member = consume({
      consumer,
      topics: [events.topic],
      drainMsMax: 50,
      onAnnouncement: (said) => log.announce("member", said),
      handle: async (_event, { signal }) => {
        running.resolve();
        await systemClock.sleep(60_000, signal);
        told = signal.aborted;
        throw new Error("rolled back");
      },
    });
    await member.start();
    await running.promise;
    await member.stop();
    expect(told).toBe(true);
    expect(log.said("work-abandoned")).toEqual([{ type: "work-abandoned", events: 1 }]);
    expect((await committedOffsets(brokers, groupId, events.topic))[0]).toBeLessThanOrEqual(0);
  });

  it("may be stopped before it was started, and while it starts", async () => {
    const never = make(async () => undefined);
    await never.stop();
    await never.start();
    await never.finished;
    const early = make(async () => undefined);
    const starting = early.start();
    await early.stop();
    await starting;
    await early.finished;
    expect(log.said("consumer-stopped")).toHaveLength(2);
  });

  it("keeps its place in the group while a handler runs for longer than the session", {
    timeout: 30_000,
  }, async () => {
    await events.send(["slow", "quick"]);
    const consumer = kafkaOf(brokers).consumer({
      groupId,
      maxWaitTimeInMs: 100,
      heartbeatInterval: 200,
      sessionTimeout: 6_000,
    });
    let beats = 0;
    const enough = deferred();
    consumer.on("consumer.heartbeat", () => {
      beats += 1;
      if (beats === 40) enough.resolve();
    });
    const { consume } = await import("../../src/index.ts");
    const member = consume({
      consumer,
      topics: [events.topic],
      onAnnouncement: (said) => log.announce("member", said),
      handle: async (event) => {
        const handling = log.begin("member", event);
        if (event.aggregateId === "slow") await enough.promise;
        log.end(handling);
      },
    });
    await member.start();
    await log.until(() => log.doneIds.size === 1);
    // Beside the slow one, not behind it.
    await events.send(["later"]);
    await log.until(() => log.doneIds.size === 2);
    expect(log.handlings[0]?.ended).toBeUndefined();
    await log.until(() => log.doneIds.size === 3);
    await member.stop();
    expect(log.said("partitions-assigned")).toHaveLength(1);
    expect(log.handlings).toHaveLength(3);
    expect(await committedOffsets(brokers, groupId, events.topic)).toEqual([3]);
  });
});

function deferred(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
