/** What blocks and dead letters must do, in PostgreSQL or in the model of it. */
import { describe, expect, it } from "vitest";
import type { OutboxEvent } from "../../src/event/event.ts";
import { comparePositions } from "../../src/event/position.ts";
import {
  type BlockRecord,
  type DeadLetterChannel,
  moveAll,
  type RejectionLedger,
} from "../../src/outbox/dead-letter-channel.ts";
import type { Outbox } from "../../src/outbox/outbox.ts";
import type { ModelTransaction, NewRow } from "../support/memory-outbox.ts";
import { below, roomy } from "./outbox.contract.ts";

export interface DeadLettersUnderTest {
  readonly letters: RejectionLedger & DeadLetterChannel;
  readonly outbox: Outbox;
  begin(): Promise<ModelTransaction>;
  close(): Promise<void>;
}

interface Stage extends DeadLettersUnderTest {
  write(...rows: NewRow[]): Promise<OutboxEvent[]>;
  /** Everything that a relay sees now, in order. */
  claimAll(): Promise<readonly OutboxEvent[]>;
  /** Moves these to the dead letters. */
  bury(events: readonly OutboxEvent[]): Promise<readonly string[]>;
}

const idsOf = (events: readonly { readonly eventId: string }[]) => events.map(({ eventId }) => eventId);
const all = { after: undefined, lettersMax: 1_000 };

function blockOf(event: OutboxEvent, attempts = 1): BlockRecord {
  const { eventId, aggregateId, shard, createdAt, seq } = event;
  return {
    eventId,
    aggregateId,
    shard,
    createdAt,
    seq,
    reason: "topic-unknown",
    message: "no topic",
    attempts,
  };
}

export function describeDeadLetters(name: string, open: () => Promise<DeadLettersUnderTest>): void {
  async function onStage(work: (stage: Stage) => Promise<void>): Promise<void> {
    const given = await open();
    const claimAll = async () => {
      const { clock } = await given.outbox.look();
      const request = { ranges: below(clock), limits: roomy, blocked: [] };
      return [...(await given.outbox.claim(request)).events].sort(comparePositions);
    };
    const write = async (...rows: NewRow[]) => {
      const transaction = await given.begin();
      const ids: string[] = [];
      for (const row of rows) ids.push(await transaction.insert(row));
      await transaction.commit();
      const events = await claimAll();
      return ids.flatMap((id) => events.find(({ eventId }) => eventId === id) ?? []);
    };
    const bury = (events: readonly OutboxEvent[]) =>
      given.letters.deadLetter(
        events.map(({ eventId }) => ({ eventId, reason: "topic-unknown", message: "no topic", attempts: 3 })),
      );
    try {
      await work({ ...given, claimAll, write, bury });
    } finally {
      await given.close();
    }
  }

  describe(`blocks contract: ${name}`, () => {
    it("gives back what was written for these shards, with the last count, until it is forgotten", () =>
      onStage(async ({ letters, write }) => {
        const [a, b] = (await write({ aggregateId: "a" }, { aggregateId: "b" })) as [
          OutboxEvent,
          OutboxEvent,
        ];
        expect(a.shard).not.toBe(b.shard);
        await letters.remember([blockOf(a), blockOf(b)]);
        await letters.remember([blockOf(a, 2)]);
        expect(await letters.load([a.shard])).toEqual([blockOf(a, 2)]);
        expect(await letters.load([])).toEqual([]);
        await letters.forget([a.eventId]);
        expect(await letters.load([a.shard, b.shard])).toEqual([blockOf(b)]);
      }));

    it("lets nobody turn a count back", () =>
      onStage(async ({ letters, write }) => {
        const [a] = (await write({})) as [OutboxEvent];
        await letters.remember([blockOf(a, 7)]);
        await letters.remember([blockOf(a, 2)]);
        expect((await letters.load([a.shard]))[0]?.attempts).toBe(7);
      }));

    it("forgets by itself what is written about an event that has gone", () =>
      onStage(async ({ letters, write, bury }) => {
        const [a] = (await write({})) as [OutboxEvent];
        await bury([a]);
        await letters.remember([blockOf(a)]);
        expect(await letters.blocked(10, 10)).toEqual([]);
        expect(await letters.load([a.shard])).toEqual([]);
      }));

    it("takes a message that no table could store, and an aggregate_id longer than any index key", () =>
      onStage(async ({ letters, write, bury }) => {
        const aggregateId = Array.from({ length: 900 }, (_, n) => (n * 7_919 * 104_729).toString(36)).join(
          "",
        );
        const [a] = (await write({ aggregateId })) as [OutboxEvent];
        const nasty = { ...blockOf(a), message: `a\0b${"x".repeat(5_000)}` };
        await letters.remember([nasty]);
        expect((await letters.load([a.shard]))[0]?.aggregateId).toBe(aggregateId);
        expect(await bury([a])).toEqual([a.eventId]);
        expect(idsOf(await letters.list({ aggregateId }, all))).toEqual([a.eventId]);
      }));

    it("shows what waits and why, counting no further than it is told", () =>
      onStage(async ({ letters, write }) => {
        const [head] = (await write({ aggregateId: "a" }, { aggregateId: "a" }, { aggregateId: "a" })) as [
          OutboxEvent,
        ];
        await letters.remember([blockOf(head, 4)]);
        const [shown] = await letters.blocked(10, 100);
        expect(shown).toMatchObject({ aggregateId: "a", attempts: 4, waiting: 3, isMore: false });
        expect((await letters.blocked(10, 2))[0]).toMatchObject({ waiting: 2, isMore: true });
        expect(await letters.blocked(0, 2)).toEqual([]);
      }));
  });

  describe(`dead letters contract: ${name}`, () => {
    it("moves an event out whole, with its block, and only once", () =>
      onStage(async ({ letters, write, bury, claimAll }) => {
        const [a, b] = (await write(
          { aggregateId: "a", payload: '{"n" : 1}', topic: "t", headers: '{"h": "1"}' },
          { aggregateId: "a" },
        )) as [OutboxEvent, OutboxEvent];
        await letters.remember([blockOf(a)]);
        expect(await bury([a])).toEqual([a.eventId]);
        expect(await bury([a])).toEqual([]);
        expect(idsOf(await claimAll())).toEqual([b.eventId]);
        expect(await letters.load([a.shard])).toEqual([]);
        const found = await letters.find(a.eventId);
        const { eventId, aggregateId, createdAt, seq, topic, headers, payload } = a;
        expect(found).toMatchObject({
          eventId,
          aggregateId,
          createdAt,
          seq,
          topic,
          headers,
          reason: "topic-unknown",
        });
        expect(Buffer.from(found?.payload ?? "").equals(Buffer.from(payload ?? ""))).toBe(true);
        expect(found?.payloadBytes).toBe(Buffer.byteLength(payload ?? ""));
        expect(found).toMatchObject({ attempts: 3, message: "no topic" });
        expect(await letters.find("00000000-0000-4000-8000-000000000000")).toBeUndefined();
      }));

    it("puts an aggregate back in its old order, with its ids, behind all that was written since", () =>
      onStage(async ({ letters, write, bury, claimAll }) => {
        const written = await write(
          ...Array.from({ length: 25 }, (_, n) => ({ aggregateId: "a", payload: `${n}` })),
        );
        const [other] = (await write({ aggregateId: "other" })) as [OutboxEvent];
        await bury([...written].reverse());
        await bury([other]);
        const [newer] = (await write({ aggregateId: "a" })) as [OutboxEvent];
        expect(await moveAll(letters, "redrive", { aggregateId: "a" }, 4)).toEqual({ moved: 25, left: 0 });
        const events = await claimAll();
        expect(idsOf(events)).toEqual([newer.eventId, ...idsOf(written)]);
        expect(events.map(({ payload }) => String(payload)).slice(1)).toEqual(
          written.map(({ payload }) => String(payload)),
        );
        expect(idsOf(await letters.list({}, all))).toEqual([other.eventId]);
      }));

    it("puts an event back only where a relay has not looked yet", () =>
      onStage(async ({ letters, outbox, write, bury, claimAll }) => {
        const [a] = (await write({})) as [OutboxEvent];
        await bury([a]);
        const { clock } = await outbox.look();
        await moveAll(letters, "redrive", {}, 10);
        const [back] = (await claimAll()) as [OutboxEvent];
        expect(back.eventId).toBe(a.eventId);
        const request = { ranges: below(clock), limits: roomy, blocked: [] };
        expect((await outbox.claim(request)).events).toEqual([]);
      }));

    it("leaves a letter whose id is in the outbox again, and goes on with the rest", () =>
      onStage(async ({ letters, write, bury, claimAll, outbox }) => {
        const [a, b] = (await write({}, {})) as [OutboxEvent, OutboxEvent];
        await bury([a, b]);
        await moveAll(letters, "redrive", { eventIds: [a.eventId] }, 10);
        const again = (await claimAll()).find(({ eventId }) => eventId === a.eventId) as OutboxEvent;
        await bury([again]);
        await moveAll(letters, "redrive", { eventIds: [a.eventId] }, 10);
        expect(idsOf(await letters.list({}, all))).toEqual([b.eventId]);
        expect(await moveAll(letters, "redrive", { eventIds: [a.eventId] }, 10)).toEqual({
          moved: 0,
          left: 0,
        });
        await moveAll(letters, "redrive", {}, 1);
        expect(new Set(idsOf(await claimAll()))).toEqual(new Set([a.eventId, b.eventId]));
        expect((await outbox.look()).writers).toEqual([]);
      }));

    it("chooses by id, aggregate, reason, topic and time, and lists in pages", () =>
      onStage(async ({ letters, write, bury }) => {
        const [a, b, c] = (await write(
          { aggregateId: "a", topic: "orders" },
          { aggregateId: "b", aggregateType: "order" },
          { aggregateId: "c" },
        )) as [OutboxEvent, OutboxEvent, OutboxEvent];
        await bury([a, b]);
        const since = await letters.now();
        await bury([c]);
        const chosen = async (filter: Parameters<DeadLetterChannel["list"]>[0]) =>
          idsOf(await letters.list(filter, all));
        expect(await chosen({})).toEqual([a.eventId, b.eventId, c.eventId]);
        expect(await chosen({ eventIds: [b.eventId, c.eventId] })).toEqual([b.eventId, c.eventId]);
        expect(await chosen({ aggregateId: "a" })).toEqual([a.eventId]);
        expect(await chosen({ reason: "topic-unknown" })).toHaveLength(3);
        expect(await chosen({ reason: "broker-refused" })).toEqual([]);
        expect(await chosen({ topic: "orders" })).toEqual([a.eventId]);
        expect(await chosen({ topic: "outbox.event" })).toEqual([c.eventId]);
        expect(await chosen({ since })).toEqual([c.eventId]);
        expect(await chosen({ since, aggregateId: "a" })).toEqual([]);
        const [first] = await letters.list({}, { after: undefined, lettersMax: 1 });
        expect(first?.eventId).toBe(a.eventId);
        expect(idsOf(await letters.list({}, { after: first, lettersMax: 5 }))).toEqual([
          b.eventId,
          c.eventId,
        ]);
      }));

    it("leaves out what died after the beginning, so that moving all of them ends", () =>
      onStage(async ({ letters, write, bury }) => {
        const [a, b] = (await write({}, {})) as [OutboxEvent, OutboxEvent];
        await bury([a]);
        const deadUntil = await letters.now();
        await bury([b]);
        expect(idsOf(await letters.redrive({}, all, deadUntil))).toEqual([a.eventId]);
        expect(idsOf(await letters.discard({}, all, deadUntil))).toEqual([]);
      }));

    it("discards for ever", () =>
      onStage(async ({ letters, write, bury, claimAll }) => {
        const written = await write({ aggregateId: "a" }, { aggregateId: "b" });
        await bury(written);
        expect(await moveAll(letters, "discard", { aggregateId: "a" }, 10)).toEqual({ moved: 1, left: 0 });
        expect((await letters.list({}, all)).map(({ aggregateId }) => aggregateId)).toEqual(["b"]);
        expect(await claimAll()).toEqual([]);
      }));
  });
}
