import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  boundWriters,
  capFence,
  fenceAt,
  fenceOf,
  lowestOf,
  readFence,
  unseen,
} from "../../../src/outbox/fence.ts";
import type { OpenWriter } from "../../../src/outbox/outbox.ts";

const writer = (id: string, pid: number | null = 1): OpenWriter => ({ id, pid, shards: null });
const announcing = (id: string, shards: readonly number[], pid: number | null = 1): OpenWriter => ({
  id,
  pid,
  shards,
});
const hold = Number.POSITIVE_INFINITY;

describe("fence", () => {
  it("is the clock of the look when nobody writes", () => {
    expect(readFence(unseen, { clock: 100, writers: [] }, hold)).toMatchObject({
      fence: fenceAt(100),
      holder: undefined,
      isQuiet: true,
    });
  });

  it("stays at the last look that did not show the writer, for as long as it is open", () => {
    let reading = readFence(unseen, { clock: 100, writers: [] }, hold);
    reading = readFence(reading.state, { clock: 200, writers: [writer("3/1")] }, hold);
    expect(lowestOf(reading.fence)).toBe(100);
    reading = readFence(reading.state, { clock: 300, writers: [writer("3/1"), writer("4/1", 2)] }, hold);
    expect(lowestOf(reading.fence)).toBe(100);
    reading = readFence(reading.state, { clock: 400, writers: [writer("4/1", 2)] }, hold);
    expect(lowestOf(reading.fence)).toBe(200);
    reading = readFence(reading.state, { clock: 500, writers: [] }, hold);
    expect(lowestOf(reading.fence)).toBe(500);
  });

  it("holds everything for a writer that was open before the first look", () => {
    const reading = readFence(unseen, { clock: 100, writers: [writer("3/1", 7)] }, hold);
    expect(lowestOf(reading.fence)).toBe(Number.NEGATIVE_INFINITY);
    const bounded = boundWriters(reading.state, new Map([[7, 40]]));
    expect(lowestOf(readFence(bounded, { clock: 110, writers: [writer("3/1", 7)] }, hold).fence)).toBe(40);
  });

  it("holds everything for a transaction that first shows up as prepared", () => {
    const before = readFence(unseen, { clock: 100, writers: [] }, hold);
    const reading = readFence(before.state, { clock: 200, writers: [writer("-1/5", null)] }, hold);
    expect(lowestOf(reading.fence)).toBe(Number.NEGATIVE_INFINITY);
  });

  it("does not trust a clock that stepped back", () => {
    const before = readFence(unseen, { clock: 100, writers: [] }, hold);
    expect(lowestOf(readFence(before.state, { clock: 60, writers: [writer("3/1")] }, hold).fence)).toBe(60);
  });

  it("passes a writer after the hold time, and says so once", () => {
    let reading = readFence(unseen, { clock: 0, writers: [] }, 1);
    reading = readFence(reading.state, { clock: 500, writers: [writer("3/1")] }, 1);
    expect(reading).toMatchObject({ fence: fenceAt(0), passed: [], isQuiet: false });
    reading = readFence(reading.state, { clock: 1_600, writers: [writer("3/1")] }, 1);
    expect(lowestOf(reading.fence)).toBe(1_600);
    expect(reading.passed.map(({ id }) => id)).toEqual(["3/1"]);
    reading = readFence(reading.state, { clock: 1_700, writers: [writer("3/1")] }, 1);
    expect(reading).toMatchObject({ fence: fenceAt(1_700), passed: [], isQuiet: true });
  });

  /** Writers open and close between looks; a row is stamped only while its writer is open. */
  it("never lies above a row that a still open transaction has stamped", () => {
    const step = fc.record({
      open: fc.array(fc.nat(5), { maxLength: 4 }),
      close: fc.array(fc.nat(5), { maxLength: 4 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        let clock = 0;
        let state = readFence(unseen, { clock, writers: [] }, hold).state;
        const stamped = new Map<number, number>();
        let incarnation = 0;
        const ids = new Map<number, string>();
        for (const { open, close } of steps) {
          for (const name of close) stamped.delete(name);
          for (const name of open) {
            clock += 1;
            if (stamped.has(name)) continue;
            incarnation += 1;
            ids.set(name, `${name}/${incarnation}`);
            stamped.set(name, clock);
          }
          clock += 1;
          const writers = [...stamped.keys()].map((name) => writer(ids.get(name) ?? "", name + 1));
          const reading = readFence(state, { clock, writers }, hold);
          state = reading.state;
          for (const at of stamped.values()) expect(at).toBeGreaterThanOrEqual(lowestOf(reading.fence));
        }
      }),
    );
  });

  it("holds only the shards that a writer has announced, each since it was announced", () => {
    let reading = readFence(unseen, { clock: 100, writers: [] }, hold);
    reading = readFence(reading.state, { clock: 200, writers: [announcing("3/1", [7])] }, hold);
    expect(reading.fence).toEqual({ open: 200, held: new Map([[7, 100]]) });
    reading = readFence(reading.state, { clock: 300, writers: [announcing("3/1", [7, 9])] }, hold);
    expect([7, 9, 8].map((shard) => fenceOf(reading.fence, shard))).toEqual([100, 200, 300]);
    expect(reading.holder?.id).toBe("3/1");
    expect(readFence(reading.state, { clock: 400, writers: [] }, hold).fence).toEqual(fenceAt(400));
  });

  it("is held by nobody who has announced nothing, but is not quiet", () => {
    const before = readFence(unseen, { clock: 100, writers: [announcing("3/1", [])] }, hold);
    expect(before).toMatchObject({ fence: fenceAt(100), holder: undefined, isQuiet: false });
    const after = readFence(before.state, { clock: 200, writers: [announcing("3/1", [5])] }, hold);
    expect(fenceOf(after.fence, 5)).toBe(100);
  });

  it("takes the lowest bound of a shard, and of a writer that may write anywhere that of all", () => {
    let reading = readFence(unseen, { clock: 100, writers: [] }, hold);
    reading = readFence(reading.state, { clock: 200, writers: [announcing("3/1", [7])] }, hold);
    const both = [announcing("3/1", [7]), announcing("4/1", [7, 9], 2)];
    reading = readFence(reading.state, { clock: 300, writers: both }, hold);
    expect(reading.fence).toEqual({
      open: 300,
      held: new Map([
        [7, 100],
        [9, 200],
      ]),
    });
    reading = readFence(
      reading.state,
      { clock: 400, writers: [both[1] as OpenWriter, writer("5/1", 3)] },
      hold,
    );
    expect(reading.fence).toEqual({
      open: 300,
      held: new Map([
        [7, 200],
        [9, 200],
      ]),
    });
  });

  it("keeps what it knows of a writer when announcements begin or end to be believed", () => {
    let reading = readFence(unseen, { clock: 100, writers: [] }, hold);
    reading = readFence(reading.state, { clock: 200, writers: [announcing("3/1", [7])] }, hold);
    reading = readFence(reading.state, { clock: 300, writers: [writer("3/1")] }, hold);
    expect(reading.fence).toEqual(fenceAt(100));
    reading = readFence(reading.state, { clock: 400, writers: [announcing("3/1", [7, 9])] }, hold);
    expect(reading.fence).toEqual({
      open: 400,
      held: new Map([
        [7, 100],
        [9, 100],
      ]),
    });
  });

  it("holds of a prepared transaction that nobody has seen only what it has announced, but all of that", () => {
    const before = readFence(unseen, { clock: 100, writers: [] }, hold);
    const reading = readFence(before.state, { clock: 200, writers: [announcing("-1/5", [3], null)] }, hold);
    expect(reading.fence).toEqual({ open: 200, held: new Map([[3, Number.NEGATIVE_INFINITY]]) });
  });

  it("counts the time that a writer holds it from its first announcement", () => {
    let reading = readFence(unseen, { clock: 0, writers: [announcing("3/1", [])] }, 1);
    reading = readFence(reading.state, { clock: 5_000, writers: [announcing("3/1", [])] }, 1);
    reading = readFence(reading.state, { clock: 5_100, writers: [announcing("3/1", [4])] }, 1);
    expect(reading).toMatchObject({ passed: [], fence: { held: new Map([[4, 5_000]]) } });
    reading = readFence(reading.state, { clock: 6_200, writers: [announcing("3/1", [4])] }, 1);
    expect(reading.passed.map(({ id }) => id)).toEqual(["3/1"]);
  });

  it("is capped everywhere, and a cap above it changes nothing", () => {
    const fence = {
      open: 300,
      held: new Map([
        [7, 100],
        [9, 200],
      ]),
    };
    expect(capFence(fence, 1_000)).toEqual(fence);
    expect(capFence(fence, 150)).toEqual({ open: 150, held: new Map([[7, 100]]) });
  });

  /** As above, shard by shard: a row is stamped only after its shard was announced. */
  it("never lies above a row of an announced shard that a still open transaction has stamped", () => {
    const writes = fc.array(fc.tuple(fc.nat(3), fc.nat(2)), { maxLength: 5 });
    const step = fc.record({
      writes,
      close: fc.array(fc.nat(3), { maxLength: 3 }),
      areBelieved: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        let clock = 0;
        let { state } = readFence(unseen, { clock, writers: [] }, hold);
        let incarnation = 0;
        const open = new Map<number, { readonly id: string; readonly rows: (readonly [number, number])[] }>();
        for (const { writes, close, areBelieved } of steps) {
          for (const name of close) open.delete(name);
          for (const [name, shard] of writes) {
            clock += 1;
            incarnation += 1;
            if (!open.has(name)) open.set(name, { id: `${name}/${incarnation}`, rows: [] });
            open.get(name)?.rows.push([shard, clock]);
          }
          clock += 1;
          const writers = [...open].map(([name, { id, rows }]) => {
            const shards = [...new Set(rows.map(([shard]) => shard))];
            return areBelieved ? announcing(id, shards, name + 1) : writer(id, name + 1);
          });
          const reading = readFence(state, { clock, writers }, hold);
          state = reading.state;
          for (const { rows } of open.values())
            for (const [shard, at] of rows) expect(at).toBeGreaterThanOrEqual(fenceOf(reading.fence, shard));
        }
      }),
    );
  });
});
