import { describe, expect, it } from "vitest";
import { beginning } from "../../../src/event/position.ts";
import { Cursors } from "../../../src/relay/cursors.ts";
import { anEvent } from "../../support/events.ts";

const at = (shard: number, micros: number, seq = String(micros)) => anEvent({ shard, at: micros, seq });
const owning = (shards: readonly number[]) => {
  const cursors = new Cursors();
  cursors.own(new Set(shards));
  return cursors;
};
const cursorOf = (cursors: Cursors, shard: number) =>
  cursors.plan(10).cursors.find((cursor) => cursor.shard === shard);

describe("cursors", () => {
  it("move up to the fence where a shard was read to its end", () => {
    const cursors = owning([0, 1]);
    cursors.advance(cursors.plan(10), { events: [at(0, 5)], isCut: false }, 100);
    expect(cursorOf(cursors, 0)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000100Z", seq: "0" });
    expect(cursorOf(cursors, 1)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000100Z" });
  });

  it("stop at the last event where a shard was cut, and do not move where it was not visited", () => {
    const cursors = owning([0, 1, 2]);
    cursors.advance(cursors.plan(3), { events: [at(0, 1), at(1, 2), at(1, 3)], isCut: true }, 100);
    expect(cursorOf(cursors, 0)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000100Z" });
    expect(cursorOf(cursors, 1)).toMatchObject({ seq: "3" });
    expect(cursorOf(cursors, 2)).toMatchObject(beginning);
  });

  it("stop at the last event of a shard that reached its share", () => {
    const cursors = owning([0, 1]);
    cursors.advance(cursors.plan(4), { events: [at(0, 1), at(0, 2), at(0, 3), at(0, 4)], isCut: true }, 100);
    const plan = cursors.plan(4);
    expect(plan.eventsPerShardMax).toBe(2);
    cursors.advance(plan, { events: [at(1, 1), at(1, 2), at(0, 5)], isCut: false }, 100);
    expect(cursorOf(cursors, 1)).toMatchObject({ seq: "2" });
    expect(cursorOf(cursors, 0)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000100Z" });
  });

  it("visit the shard that filled a batch last, so that it starves nobody", () => {
    const cursors = owning([0, 1, 2]);
    cursors.advance(cursors.plan(2), { events: [at(0, 1), at(0, 2)], isCut: true }, 100);
    expect(cursors.plan(2).cursors.map(({ shard }) => shard)).toEqual([1, 2, 0]);
  });

  it("count what turns up below the high-water mark as late, also where a sweep found it", () => {
    const cursors = owning([0]);
    cursors.advance(cursors.plan(10), { events: [at(0, 5)], isCut: false }, 100);
    cursors.goBack(0, at(0, 7));
    const late = cursors.advance(
      cursors.plan(10),
      { events: [at(0, 7), at(0, 50), at(0, 150)], isCut: false },
      200,
    );
    expect(late).toBe(2);
  });

  it("do not call late what an outage or a block made them read again", () => {
    const cursors = owning([0]);
    cursors.advance(cursors.plan(10), { events: [at(0, 5)], isCut: false }, 100);
    cursors.rewind(0, at(0, 5));
    expect(cursors.advance(cursors.plan(10), { events: [at(0, 5)], isCut: false }, 200)).toBe(0);
    cursors.forget();
    expect(cursors.advance(cursors.plan(10), { events: [at(0, 5)], isCut: false }, 200)).toBe(0);
  });

  it("begin at the beginning for a shard that is new, and forget one that is gone", () => {
    const cursors = owning([0]);
    cursors.advance(cursors.plan(10), { events: [], isCut: false }, 100);
    cursors.own(new Set([0, 1]));
    expect(cursorOf(cursors, 0)).not.toMatchObject(beginning);
    expect(cursorOf(cursors, 1)).toMatchObject(beginning);
    cursors.own(new Set([1]));
    cursors.own(new Set([0, 1]));
    expect(cursorOf(cursors, 0)).toMatchObject(beginning);
  });

  it("stay where they are when the clock steps back", () => {
    const cursors = owning([0]);
    cursors.advance(cursors.plan(10), { events: [], isCut: false }, 100);
    cursors.advance(cursors.plan(10), { events: [], isCut: false }, 50);
    expect(cursorOf(cursors, 0)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000100Z" });
  });

  it("rewind to just before the event, so that it is claimed again itself", () => {
    const cursors = owning([0]);
    cursors.advance(cursors.plan(10), { events: [], isCut: false }, 100);
    cursors.rewind(0, at(0, 40, "7"));
    expect(cursorOf(cursors, 0)).toMatchObject({ createdAt: "1970-01-01T00:00:00.000040Z", seq: "6" });
  });
});
