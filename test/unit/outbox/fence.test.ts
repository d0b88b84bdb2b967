import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { boundWriters, readFence, unseen } from "../../../src/outbox/fence.ts";
import type { OpenWriter } from "../../../src/outbox/outbox.ts";

const writer = (id: string, pid: number | null = 1): OpenWriter => ({ id, pid });
const hold = Number.POSITIVE_INFINITY;

describe("fence", () => {
  it("is the clock of the look when nobody writes", () => {
    expect(readFence(unseen, { clock: 100, writers: [] }, hold)).toMatchObject({
      fence: 100,
      holder: undefined,
    });
  });

  it("stays at the last look that did not show the writer, for as long as it is open", () => {
    let reading = readFence(unseen, { clock: 100, writers: [] }, hold);
    reading = readFence(reading.state, { clock: 200, writers: [writer("3/1")] }, hold);
    expect(reading.fence).toBe(100);
    reading = readFence(reading.state, { clock: 300, writers: [writer("3/1"), writer("4/1", 2)] }, hold);
    expect(reading.fence).toBe(100);
    reading = readFence(reading.state, { clock: 400, writers: [writer("4/1", 2)] }, hold);
    expect(reading.fence).toBe(200);
    reading = readFence(reading.state, { clock: 500, writers: [] }, hold);
    expect(reading.fence).toBe(500);
  });

  it("holds everything for a writer that was open before the first look", () => {
    const reading = readFence(unseen, { clock: 100, writers: [writer("3/1", 7)] }, hold);
    expect(reading.fence).toBe(Number.NEGATIVE_INFINITY);
    const bounded = boundWriters(reading.state, new Map([[7, 40]]));
    expect(readFence(bounded, { clock: 110, writers: [writer("3/1", 7)] }, hold).fence).toBe(40);
  });

  it("holds everything for a transaction that first shows up as prepared", () => {
    const before = readFence(unseen, { clock: 100, writers: [] }, hold);
    const reading = readFence(before.state, { clock: 200, writers: [writer("-1/5", null)] }, hold);
    expect(reading.fence).toBe(Number.NEGATIVE_INFINITY);
  });

  it("does not trust a clock that stepped back", () => {
    const before = readFence(unseen, { clock: 100, writers: [] }, hold);
    expect(readFence(before.state, { clock: 60, writers: [writer("3/1")] }, hold).fence).toBe(60);
  });

  it("passes a writer after the hold time, and says so once", () => {
    let reading = readFence(unseen, { clock: 0, writers: [] }, 1);
    reading = readFence(reading.state, { clock: 500, writers: [writer("3/1")] }, 1);
    expect(reading).toMatchObject({ fence: 0, passed: [] });
    reading = readFence(reading.state, { clock: 1_600, writers: [writer("3/1")] }, 1);
    expect(reading.fence).toBe(1_600);
    expect(reading.passed.map(({ id }) => id)).toEqual(["3/1"]);
    reading = readFence(reading.state, { clock: 1_700, writers: [writer("3/1")] }, 1);
    expect(reading).toMatchObject({ fence: 1_700, passed: [] });
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
          for (const at of stamped.values()) expect(at).toBeGreaterThan(reading.fence - 1);
        }
      }),
    );
  });
});
