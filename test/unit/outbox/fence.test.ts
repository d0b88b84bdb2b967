import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isoOfMicros } from "../../../src/event/position.ts";
import {
  belowOpen,
  capFence,
  fenceAt,
  fenceOf,
  lowestOf,
  readFence,
  unseen,
} from "../../../src/outbox/fence.ts";
import type { Look, OpenWriter } from "../../../src/outbox/outbox.ts";
import { anEvent } from "../../support/events.ts";

const writer = (id: string, pid: number | null = 1, startedAt: number | null = null): OpenWriter => ({
  id,
  pid,
  startedAt,
  slots: null,
});
const announcing = (id: string, slots: readonly number[], pid: number | null = 1): OpenWriter => ({
  id,
  pid,
  startedAt: null,
  slots,
});
const look = (clock: number, writers: readonly OpenWriter[] = [], isTwoPhase = false): Look => ({
  clock,
  writers,
  isTwoPhase,
  mark: null,
});
const hold = Number.POSITIVE_INFINITY;

/** Transactions by the name of their backend, each with the instants that it has stamped so far. */
class World {
  readonly open = new Map<number, { id: string; pid: number | null; startedAt: number; rows: number[] }>();
  clock = 0;
  #ids = 0;

  write(name: number): void {
    this.clock += 1;
    this.#ids += 1;
    const writer = this.open.get(name) ?? {
      id: `${name}/${this.#ids}`,
      pid: name + 1,
      startedAt: this.clock,
      rows: [],
    };
    this.clock += 1;
    if (writer.pid !== null) writer.rows.push(this.clock);
    this.open.set(name, writer);
  }

  /** The clock, then the locks, then the starts: what happens meanwhile happens between the last two. */
  look(meanwhile: {
    readonly endMeanwhile: readonly number[];
    readonly prepareMeanwhile: readonly number[];
    readonly canSeeStarts: boolean;
  }): Omit<Look, "isTwoPhase" | "mark"> {
    this.clock += 1;
    const { clock } = this;
    const locks = [...this.open].map(([name, writer]) => ({ name, ...writer }));
    this.clock += 1;
    for (const name of meanwhile.endMeanwhile) this.open.delete(name);
    for (const name of meanwhile.prepareMeanwhile) this.#prepare(name);
    const writers = locks.map(({ name, id, pid, startedAt }) => {
      const isSame = this.open.get(name)?.id === id;
      // At worst the backend began its next one before this look, in the message that ended the last.
      const start = isSame ? startedAt : clock;
      return writer(id, pid, pid === null || !meanwhile.canSeeStarts ? null : start);
    });
    return { clock, writers };
  }

  #prepare(name: number): void {
    const writer = this.open.get(name);
    if (writer === undefined || writer.pid === null) return;
    this.#ids += 1;
    this.open.set(name, { ...writer, id: `-1/${this.#ids}`, pid: null });
  }
}

describe("fence", () => {
  it("is the clock of the look when nobody writes", () => {
    expect(readFence(unseen, look(100), hold)).toMatchObject({
      fence: fenceAt(100),
      holder: undefined,
      isQuiet: true,
    });
  });

  it("stays at the last look that did not show the writer, for as long as it is open", () => {
    let reading = readFence(unseen, look(100), hold);
    reading = readFence(reading.state, look(200, [writer("3/1")]), hold);
    expect(lowestOf(reading.fence)).toBe(100);
    reading = readFence(reading.state, look(300, [writer("3/1"), writer("4/1", 2)]), hold);
    expect(lowestOf(reading.fence)).toBe(100);
    reading = readFence(reading.state, look(400, [writer("4/1", 2)]), hold);
    expect(lowestOf(reading.fence)).toBe(200);
    reading = readFence(reading.state, look(500), hold);
    expect(lowestOf(reading.fence)).toBe(500);
  });

  it("holds everything for a writer that was open before the first look", () => {
    const reading = readFence(unseen, look(100, [writer("3/1", 7)]), hold);
    expect(lowestOf(reading.fence)).toBe(Number.NEGATIVE_INFINITY);
    const later = readFence(reading.state, look(110, [writer("3/1", 7)]), hold);
    expect(lowestOf(later.fence)).toBe(Number.NEGATIVE_INFINITY);
  });

  it("is held from the start of a writer's transaction where that is to be seen", () => {
    const before = readFence(unseen, look(100, [writer("3/1", 7, 40)]), hold);
    expect(lowestOf(before.fence)).toBe(40);
    const after = readFence(before.state, look(200, [writer("4/1", 8, 190)]), hold);
    expect(lowestOf(after.fence)).toBe(190);
    expect(lowestOf(readFence(after.state, look(300, [writer("4/1", 8)]), hold).fence)).toBe(190);
  });

  it("believes a start where transactions can be prepared only once a later look shows the writer there still", () => {
    const first = readFence(unseen, look(100, [writer("3/1", 7, 40)], true), hold);
    expect(lowestOf(first.fence)).toBe(Number.NEGATIVE_INFINITY);
    const stays = readFence(first.state, look(110, [writer("3/1", 7, 105)], true), hold);
    expect(lowestOf(stays.fence)).toBe(40);
    const goes = readFence(first.state, look(110, [writer("3/1", null)], true), hold);
    expect(lowestOf(goes.fence)).toBe(Number.NEGATIVE_INFINITY);
  });

  it("is never above the clock, whatever a backend began after it", () => {
    expect(readFence(unseen, look(100, [writer("3/1", 7, 130)]), hold).fence).toEqual(fenceAt(100));
  });

  it("holds everything for a transaction that first shows up as prepared", () => {
    const before = readFence(unseen, look(100), hold);
    const reading = readFence(before.state, look(200, [writer("-1/5", null)]), hold);
    expect(lowestOf(reading.fence)).toBe(Number.NEGATIVE_INFINITY);
  });

  it("does not trust a clock that stepped back", () => {
    const before = readFence(unseen, look(100), hold);
    expect(lowestOf(readFence(before.state, look(60, [writer("3/1")]), hold).fence)).toBe(60);
  });

  it("passes a writer after the hold time, and says so once", () => {
    let reading = readFence(unseen, look(0), 1);
    reading = readFence(reading.state, look(500, [writer("3/1")]), 1);
    expect(reading).toMatchObject({ fence: fenceAt(0), passed: [], isQuiet: false });
    reading = readFence(reading.state, look(1_600, [writer("3/1")]), 1);
    expect(lowestOf(reading.fence)).toBe(1_600);
    expect(reading.passed.map(({ id }) => id)).toEqual(["3/1"]);
    reading = readFence(reading.state, look(1_700, [writer("3/1")]), 1);
    expect(reading).toMatchObject({ fence: fenceAt(1_700), passed: [], isQuiet: true });
  });

  /**
   * Writers begin, stamp rows and end between looks, and while one is taken: whoever ends or is prepared
   * between its locks and its starts is shown with what its backend began next.
   */
  for (const isTwoPhase of [false, true]) {
    const name = "never lies above a row that a still open transaction has stamped";
    it(`${name}${isTwoPhase ? ", prepared ones among them" : ""}`, () => {
      const step = fc.record({
        open: fc.array(fc.nat(5), { maxLength: 4 }),
        close: fc.array(fc.nat(5), { maxLength: 4 }),
        endMeanwhile: fc.array(fc.nat(5), { maxLength: 2 }),
        prepareMeanwhile: fc.array(fc.nat(5), { maxLength: isTwoPhase ? 2 : 0 }),
        canSeeStarts: fc.boolean(),
      });
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
          const world = new World();
          let state = readFence(unseen, look(world.clock, [], isTwoPhase), hold).state;
          for (const given of steps) {
            for (const name of given.close) world.open.delete(name);
            for (const name of given.open) world.write(name);
            const seen = world.look(given);
            const reading = readFence(state, { ...seen, isTwoPhase, mark: null }, hold);
            state = reading.state;
            for (const { rows } of world.open.values())
              for (const at of rows) expect(at).toBeGreaterThanOrEqual(lowestOf(reading.fence));
          }
        }),
        { numRuns: 500 },
      );
    });
  }

  it("holds only the shards that a writer has announced, each since it was announced", () => {
    let reading = readFence(unseen, look(100), hold);
    reading = readFence(reading.state, look(200, [announcing("3/1", [7])]), hold);
    expect(reading.fence).toEqual({ open: 200, held: new Map([[7, 100]]) });
    reading = readFence(reading.state, look(300, [announcing("3/1", [7, 9])]), hold);
    expect([7, 9, 8].map((shard) => fenceOf(reading.fence, shard))).toEqual([100, 200, 300]);
    expect(reading.holder?.id).toBe("3/1");
    expect(readFence(reading.state, look(400), hold).fence).toEqual(fenceAt(400));
  });

  it("is held by nobody who has announced nothing, but is not quiet", () => {
    const before = readFence(unseen, look(100, [announcing("3/1", [])]), hold);
    expect(before).toMatchObject({ fence: fenceAt(100), holder: undefined, isQuiet: false });
    const after = readFence(before.state, look(200, [announcing("3/1", [5])]), hold);
    expect(fenceOf(after.fence, 5)).toBe(100);
  });

  it("takes the lowest bound of a shard, and of a writer that may write anywhere that of all", () => {
    let reading = readFence(unseen, look(100), hold);
    reading = readFence(reading.state, look(200, [announcing("3/1", [7])]), hold);
    const both = [announcing("3/1", [7]), announcing("4/1", [7, 9], 2)];
    reading = readFence(reading.state, look(300, both), hold);
    expect(reading.fence).toEqual({
      open: 300,
      held: new Map([
        [7, 100],
        [9, 200],
      ]),
    });
    reading = readFence(reading.state, look(400, [both[1] as OpenWriter, writer("5/1", 3)]), hold);
    expect(reading.fence).toEqual({
      open: 300,
      held: new Map([
        [7, 200],
        [9, 200],
      ]),
    });
  });

  it("keeps what it knows of a writer when announcements begin or end to be believed", () => {
    let reading = readFence(unseen, look(100), hold);
    reading = readFence(reading.state, look(200, [announcing("3/1", [7])]), hold);
    reading = readFence(reading.state, look(300, [writer("3/1")]), hold);
    expect(reading.fence).toEqual(fenceAt(100));
    reading = readFence(reading.state, look(400, [announcing("3/1", [7, 9])]), hold);
    expect(reading.fence).toEqual({
      open: 400,
      held: new Map([
        [7, 100],
        [9, 100],
      ]),
    });
  });

  it("holds of a prepared transaction that nobody has seen only what it has announced, but all of that", () => {
    const before = readFence(unseen, look(100), hold);
    const reading = readFence(before.state, look(200, [announcing("-1/5", [3], null)]), hold);
    expect(reading.fence).toEqual({ open: 200, held: new Map([[3, Number.NEGATIVE_INFINITY]]) });
  });

  it("counts the time that a writer holds it from its first announcement", () => {
    let reading = readFence(unseen, look(0, [announcing("3/1", [])]), 1);
    reading = readFence(reading.state, look(5_000, [announcing("3/1", [])]), 1);
    reading = readFence(reading.state, look(5_100, [announcing("3/1", [4])]), 1);
    expect(reading).toMatchObject({ passed: [], fence: { held: new Map([[4, 5_000]]) } });
    reading = readFence(reading.state, look(6_200, [announcing("3/1", [4])]), 1);
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

  /** As above, slot by slot: a row is stamped only after its slot was announced. */
  it("never lies above a row of an announced slot that a still open transaction has stamped", () => {
    const writes = fc.array(fc.tuple(fc.nat(3), fc.nat(2)), { maxLength: 5 });
    const step = fc.record({
      writes,
      close: fc.array(fc.nat(3), { maxLength: 3 }),
      areBelieved: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        let clock = 0;
        let { state } = readFence(unseen, look(clock), hold);
        let incarnation = 0;
        const open = new Map<number, { readonly id: string; readonly rows: (readonly [number, number])[] }>();
        for (const { writes, close, areBelieved } of steps) {
          for (const name of close) open.delete(name);
          for (const [name, slot] of writes) {
            clock += 1;
            incarnation += 1;
            if (!open.has(name)) open.set(name, { id: `${name}/${incarnation}`, rows: [] });
            open.get(name)?.rows.push([slot, clock]);
          }
          clock += 1;
          const writers = [...open].map(([name, { id, rows }]) => {
            const slots = [...new Set(rows.map(([slot]) => slot))];
            return areBelieved ? announcing(id, slots, name + 1) : writer(id, name + 1);
          });
          const reading = readFence(state, look(clock, writers), hold);
          state = reading.state;
          for (const { rows } of open.values())
            for (const [slot, at] of rows) expect(at).toBeGreaterThanOrEqual(fenceOf(reading.fence, slot));
        }
      }),
    );
  });
});

describe("a claim that knew no fence", () => {
  const at = (micros: number, shard: number) =>
    anEvent({ shard, createdAt: isoOfMicros(micros), seq: String(micros) });
  const events = [at(10, 1), at(20, 1), at(10, 2), at(20, 2), at(30, 2)];
  const seqsOf = (claim: ReturnType<typeof belowOpen>) =>
    claim?.events.map(({ shard, seq }) => [shard, Number(seq)]);

  it("loses what stands at the fence or above, but for what is held back: of that the cursors know", () => {
    expect(seqsOf(belowOpen({ events, isCut: false }, fenceAt(20)))).toEqual([
      [1, 10],
      [2, 10],
    ]);
    const held = { open: 30, held: new Map([[1, Number.NEGATIVE_INFINITY]]) };
    expect(seqsOf(belowOpen({ events, isCut: false }, held))).toEqual([
      [1, 10],
      [1, 20],
      [2, 10],
      [2, 20],
    ]);
  });

  it("stays as it is where nothing stands above", () => {
    const claim = { events, isCut: true };
    expect(belowOpen(claim, fenceAt(31))).toBe(claim);
  });

  it("says nothing of the shards behind when its limits ended it above the fence", () => {
    expect(belowOpen({ events, isCut: true }, fenceAt(30))).toBeUndefined();
  });
});
