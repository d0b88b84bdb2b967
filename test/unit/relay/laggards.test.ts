/**
 * Slots that are held back while their shard is claimed on: whatever writers do and however small the claims are,
 * each event comes once, and in the order of its aggregate.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { OutboxEvent } from "../../../src/event/event.ts";
import { comparePositions } from "../../../src/event/position.ts";
import { allShards } from "../../../src/event/shard.ts";
import { systemClock } from "../../../src/foundation/clock.ts";
import type { Look } from "../../../src/outbox/outbox.ts";
import { Announcements } from "../../../src/relay/announcements.ts";
import { Claims } from "../../../src/relay/claims.ts";
import { Cursors } from "../../../src/relay/cursors.ts";
import { continuously } from "../../../src/relay/dispatch.ts";
import { FenceWatch } from "../../../src/relay/fence-watch.ts";
import { MemoryOutbox, type ModelTransaction } from "../../support/memory-outbox.ts";

class AnnouncedOutbox extends MemoryOutbox {
  override announces = true;
  twist: (look: Look) => Look = (look) => look;

  /** Whoever writes to many says no more which: as with 0008_narrow_fence_slots, where many are 65. */
  override async look(): Promise<Look> {
    const look = await super.look();
    const writers = look.writers.map((writer) => ({
      ...writer,
      slots: writer.slots !== null && writer.slots.length > 3 ? null : writer.slots,
    }));
    return this.twist({ ...look, writers });
  }
}

interface Limits {
  readonly batchEventsMax: number;
  /** Looks go with their claims where they can. */
  readonly isTogether: boolean;
}

class World {
  readonly outbox = new AnnouncedOutbox();
  readonly cursors = new Cursors();
  readonly claims: Claims;
  readonly published: OutboxEvent[] = [];
  late = 0;
  #inFlight: readonly OutboxEvent[] = [];
  readonly #open = new Map<number, ModelTransaction>();

  constructor({ batchEventsMax, isTogether }: Limits) {
    const { outbox, cursors } = this;
    const announcements = new Announcements();
    announcements.subscribe((said) => {
      if (said.type === "late-events") this.late += said.events;
    });
    cursors.own(new Set(allShards));
    const timing = { fenceHoldMs: 60_000, fenceWarnMs: 60_000 };
    const fenceWatch = new FenceWatch(outbox, timing, announcements, !isTogether);
    const parts = { outbox, clock: systemClock, announcements, fenceWatch, dispatch: continuously, cursors };
    this.claims = new Claims(parts, { batchEventsMax, batchBytesMax: 1e6, payloadBytesMax: 1e6 });
  }

  async write(writer: number, aggregateId: string): Promise<void> {
    const transaction = this.#open.get(writer) ?? this.outbox.begin();
    this.#open.set(writer, transaction);
    await transaction.insert({ aggregateId });
  }

  async end(writer: number, isCommit: boolean): Promise<void> {
    const transaction = this.#open.get(writer);
    this.#open.delete(writer);
    await (isCommit ? transaction?.commit() : transaction?.rollback());
  }

  async endAll(): Promise<void> {
    for (const writer of [...this.#open.keys()]) await this.end(writer, true);
  }

  /** What the claim before brought is removed only now. Returns whether there was nothing. */
  async poll(): Promise<boolean> {
    const taken = await this.claims.take([], null);
    if (taken === "unchanged") throw new Error("nobody said since when");
    for (const event of this.#inFlight) this.outbox.take(event.eventId);
    this.#inFlight = taken.events;
    this.published.push(...taken.events);
    return taken.isAtEnd;
  }

  async drain(): Promise<void> {
    while (!(await this.poll()));
    await this.poll();
  }

  /** Events of which one of the same aggregate with a higher position had come before, or that came twice. */
  get faults(): number {
    const last = new Map<string, OutboxEvent>();
    return this.published.filter((event) => {
      const before = last.get(event.aggregateId);
      const isFault = before !== undefined && comparePositions(before, event) >= 0;
      if (!isFault) last.set(event.aggregateId, event);
      return isFault;
    }).length;
  }
}

/** Aggregates that share few shards, and few of them a slot. */
async function crowded(): Promise<string[]> {
  const outbox = new MemoryOutbox();
  const names = Array.from({ length: 2_000 }, (_, n) => `a-${n}`);
  await outbox.write(...names.map((aggregateId) => ({ aggregateId })));
  return outbox.remaining
    .filter(({ shard }) => shard < 2)
    .map(({ aggregateId }) => aggregateId)
    .slice(0, 24);
}

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("write" as const), writer: fc.nat(4), aggregate: fc.nat(23) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("end" as const), writer: fc.nat(4), isCommit: fc.boolean() }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("poll" as const) }) },
);
const plot = fc.record({
  batchEventsMax: fc.integer({ min: 1, max: 30 }),
  isTogether: fc.boolean(),
  steps: fc.array(step, { minLength: 20, maxLength: 200 }),
});
type Plot = typeof plot extends fc.Arbitrary<infer T> ? T : never;

async function play(
  { steps, ...limits }: Plot,
  aggregates: readonly string[],
  twist = (look: Look) => look,
): Promise<{ readonly faults: number; readonly missing: number; readonly late: number }> {
  const world = new World(limits);
  world.outbox.twist = twist;
  for (const given of steps) {
    if (given.do === "write") await world.write(given.writer, aggregates[given.aggregate] ?? "a");
    else if (given.do === "end") await world.end(given.writer, given.isCommit);
    else await world.poll();
  }
  await world.endAll();
  await world.drain();
  return { faults: world.faults, missing: world.outbox.remaining.length, late: world.late };
}

describe("slots that lag", () => {
  it("lose nothing, double nothing and keep the order, whatever is held and however little a claim may bring", async () => {
    const aggregates = await crowded();
    await fc.assert(
      fc.asyncProperty(plot, async (given) => {
        expect(await play(given, aggregates)).toEqual({ faults: 0, missing: 0, late: 0 });
      }),
      { numRuns: 400 },
    );
  });

  it("would be seen to lose the order by a relay that believes that writers announce, and does not read what", async () => {
    const aggregates = await crowded();
    const unread = (look: Look): Look => ({
      ...look,
      writers: look.writers.map((writer) => ({ ...writer, slots: [] })),
    });
    const found = await fc.check(
      fc.asyncProperty(plot, async (given) => {
        expect(await play(given, aggregates, unread)).toMatchObject({ faults: 0, missing: 0 });
      }),
      { numRuns: 400, endOnFailure: true },
    );
    expect(found.failed).toBe(true);
  });

  it("let the others of their shard pass, and follow once they may", async () => {
    const [held = "", ...others] = await crowded();
    const world = new World({ batchEventsMax: 100, isTogether: true });
    await world.poll();
    await world.write(0, held);
    await world.poll();
    for (const aggregateId of [held, ...others]) {
      await world.write(1, aggregateId);
      await world.end(1, true);
    }
    await world.poll();
    await world.poll();
    expect(world.published.map(({ aggregateId }) => aggregateId).sort()).toEqual([...others].sort());
    await world.end(0, true);
    await world.drain();
    expect(world.published.slice(others.length).map(({ aggregateId }) => aggregateId)).toEqual([held, held]);
    expect(world).toMatchObject({ faults: 0, late: 0 });
  });
});
