import { describe, expect, it } from "vitest";
import type { OutboxEvent } from "../../../src/event/event.ts";
import { beginning } from "../../../src/event/position.ts";
import { fenceAt } from "../../../src/outbox/fence.ts";
import type { Claim } from "../../../src/outbox/outbox.ts";
import { Cursors } from "../../../src/relay/cursors.ts";
import { anEvent } from "../../support/events.ts";

const at = (shard: number, micros: number, seq = String(micros)) => anEvent({ shard, at: micros, seq });
const owning = (shards: readonly number[]) => {
  const cursors = new Cursors();
  cursors.own(new Set(shards));
  return cursors;
};
/** With a fence that is the same for all shards. */
const planOf = (cursors: Cursors, eventsMax: number, fence = 1_000) =>
  cursors.plan(eventsMax, fenceAt(fence));
const advance = (cursors: Cursors, eventsMax: number, fence: number, claim: Claim) =>
  cursors.advance(planOf(cursors, eventsMax, fence), claim, fenceAt(fence));
const cursorOf = (cursors: Cursors, shard: number) =>
  planOf(cursors, 10).ranges.find((range) => range.shard === shard);

describe("cursors", () => {
  it("move up to the fence where a shard was read to its end", () => {
    const cursors = owning([0, 1]);
    advance(cursors, 10, 100, { events: [at(0, 5)], isCut: false });
    expect(cursorOf(cursors, 0)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000100Z", seq: "0" });
    expect(cursorOf(cursors, 1)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000100Z" });
  });

  it("stop at the last event where a shard was cut, and do not move where it was not visited", () => {
    const cursors = owning([0, 1, 2]);
    advance(cursors, 3, 100, { events: [at(0, 1), at(1, 2), at(1, 3)], isCut: true });
    expect(cursorOf(cursors, 0)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000100Z" });
    expect(cursorOf(cursors, 1)).toMatchObject({ seq: "3" });
    expect(cursorOf(cursors, 2)).toMatchObject(beginning);
  });

  it("stop at the last event of a shard that reached its share", () => {
    const cursors = owning([0, 1]);
    advance(cursors, 4, 100, {
      events: [at(0, 1), at(0, 2), at(0, 3), at(0, 4)],
      isCut: true,
    });
    const plan = planOf(cursors, 4, 100);
    expect(plan.eventsPerShardMax).toBe(2);
    cursors.advance(plan, { events: [at(1, 1), at(1, 2), at(0, 5)], isCut: false }, fenceAt(100));
    expect(cursorOf(cursors, 1)).toMatchObject({ seq: "2" });
    expect(cursorOf(cursors, 0)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000100Z" });
  });

  it("visit the shard that filled a batch last, so that it starves nobody", () => {
    const cursors = owning([0, 1, 2]);
    advance(cursors, 2, 100, { events: [at(0, 1), at(0, 2)], isCut: true });
    expect(planOf(cursors, 2).ranges.map(({ shard }) => shard)).toEqual([1, 2, 0]);
  });

  it("count what turns up below the high-water mark as late, also where a sweep found it", () => {
    const cursors = owning([0]);
    advance(cursors, 10, 100, { events: [at(0, 5)], isCut: false });
    cursors.goBack(0, at(0, 7));
    const { late } = advance(cursors, 10, 200, {
      events: [at(0, 7), at(0, 50), at(0, 150)],
      isCut: false,
    });
    expect(late).toBe(2);
  });

  it("do not call late what an outage or a block made them read again", () => {
    const cursors = owning([0]);
    advance(cursors, 10, 100, { events: [at(0, 5)], isCut: false });
    cursors.rewind(0, at(0, 5));
    expect(advance(cursors, 10, 200, { events: [at(0, 5)], isCut: false }).late).toBe(0);
    cursors.forget();
    expect(advance(cursors, 10, 200, { events: [at(0, 5)], isCut: false }).late).toBe(0);
  });

  it("begin at the beginning for a shard that is new, and forget one that is gone", () => {
    const cursors = owning([0]);
    advance(cursors, 10, 100, { events: [], isCut: false });
    cursors.own(new Set([0, 1]));
    expect(cursorOf(cursors, 0)).not.toMatchObject(beginning);
    expect(cursorOf(cursors, 1)).toMatchObject(beginning);
    cursors.own(new Set([1]));
    cursors.own(new Set([0, 1]));
    expect(cursorOf(cursors, 0)).toMatchObject(beginning);
  });

  it("stay where they are when the clock steps back", () => {
    const cursors = owning([0]);
    advance(cursors, 10, 100, { events: [], isCut: false });
    advance(cursors, 10, 50, { events: [], isCut: false });
    expect(cursorOf(cursors, 0)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000100Z" });
  });

  it("leave a held slot behind at its own fence, and read from there once it is free", () => {
    const cursors = owning([0]);
    const held = { open: 100, held: new Map([[64, 40]]) };
    const { events, isBehind } = cursors.advance(
      cursors.plan(10, held),
      { events: [at(0, 30), { ...at(0, 50), slot: 64 }, at(0, 60)], isCut: false },
      held,
    );
    expect(events.map(({ seq }) => seq)).toEqual(["30", "60"]);
    expect(isBehind).toBe(false);
    expect(cursors.passed).toMatchObject([{ shard: 0, createdAt: "1970-01-01T00:00:00.000040Z" }]);
    const { ranges } = cursors.plan(10, fenceAt(200));
    expect(ranges.map(({ slot, fence }) => [slot, fence])).toEqual([
      [64, 100],
      [undefined, 200],
    ]);
  });

  it("stay where nothing may be claimed, of all shards or of one slot", () => {
    const cursors = owning([0]);
    const nowhere = fenceAt(Number.NEGATIVE_INFINITY);
    expect(cursors.plan(10, nowhere).ranges).toEqual([]);
    cursors.advance(planOf(cursors, 10), { events: [], isCut: false }, nowhere);
    expect(cursorOf(cursors, 0)).toMatchObject(beginning);
    const held = { open: 100, held: new Map([[64, Number.NEGATIVE_INFINITY]]) };
    const claim = { events: [{ ...at(0, 50), slot: 64 }, at(0, 60)], isCut: false };
    expect(cursors.advance(cursors.plan(10, held), claim, held).events).toEqual([at(0, 60)]);
    expect(cursors.passed).toMatchObject([{ shard: 0, ...beginning }]);
    expect(planOf(cursors, 10).ranges[0]).toMatchObject({ slot: 64, ...beginning, fence: 100 });
  });

  it("do not read a second time for a slot whose fence lies below the cursor: the clock stepped back", () => {
    const cursors = owning([0]);
    advance(cursors, 10, 100, { events: [{ ...at(0, 50), slot: 64 }], isCut: false });
    const held = { open: 90, held: new Map([[64, 40]]) };
    cursors.advance(cursors.plan(10, held), { events: [], isCut: false }, held);
    expect(cursors.plan(10, fenceAt(200)).ranges).toMatchObject([{ shard: 0, fence: 200 }]);
  });

  it("rewind to just before the event, so that it is claimed again itself", () => {
    const cursors = owning([0]);
    advance(cursors, 10, 100, { events: [], isCut: false });
    cursors.rewind(0, at(0, 40, "7"));
    expect(cursorOf(cursors, 0)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000040Z", seq: "6" });
  });

  it("let no shard of a backlog run far ahead of the others, but do not wait for one with half of all", () => {
    const sizes = [...Array.from({ length: 31 }, (_, shard) => 400 + shard * 20), 20_000];
    const { taken, farthest, hotMeanwhile } = drain(sizes, 128);
    expect(taken).toEqual(sizes);
    // Left to themselves, the smallest of the 31 is done when the largest has two fifths of its rows.
    expect(farthest).toBeLessThan(0.25);
    // All that time it has had no more than its share.
    expect(hotMeanwhile).toBeLessThan(5_000);
  });
});

const backlogMicros = 1_000_000;

/**
 * A backlog of so many rows a shard, each shard's evenly spread over the same time, claim by claim. How many were
 * taken of each; how far apart the shards were at most, the last one aside, as a share of it all; and how many the
 * last one had when the others were done.
 */
function drain(sizes: readonly number[], eventsMax: number) {
  const cursors = owning([...sizes.keys()]);
  const instantOf = (shard: number, row: number) =>
    Math.ceil(((row + 1) * backlogMicros) / (sizes[shard] ?? 1));
  const taken = sizes.map(() => 0);
  const hot = sizes.length - 1;
  let farthest = 0;
  let hotMeanwhile = 0;
  for (let isLeft = true; isLeft; ) {
    const plan = planOf(cursors, eventsMax, 2 * backlogMicros);
    const events: OutboxEvent[] = [];
    for (const { shard, fence } of plan.ranges) {
      for (let n = 0; n < plan.eventsPerShardMax && events.length < eventsMax; n += 1) {
        const row = taken[shard] ?? 0;
        if (row >= (sizes[shard] ?? 0) || instantOf(shard, row) >= fence) break;
        events.push(at(shard, instantOf(shard, row)));
        taken[shard] = row + 1;
      }
    }
    const claim = { events, isCut: events.length >= eventsMax };
    const { isBounded } = cursors.advance(plan, claim, fenceAt(2 * backlogMicros));
    const reached = taken.slice(0, hot).map((rows, shard) => rows / (sizes[shard] ?? 1));
    if (Math.min(...reached) < 1) hotMeanwhile = taken[hot] ?? 0;
    // The first batch is all of one shard: nobody knew yet that there are more.
    if (Math.min(...reached) > 0.4)
      farthest = Math.max(farthest, Math.max(...reached) - Math.min(...reached));
    isLeft = events.length > 0 || isBounded;
  }
  return { taken, farthest, hotMeanwhile };
}
