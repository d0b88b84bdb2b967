/** The runs of a schedule by themselves, in still time; and the loop under one, over the model outbox. */
import { describe, expect, it } from "vitest";
import { type Announcement, Announcements } from "../../../src/relay/announcements.ts";
import { Schedule } from "../../../src/relay/schedule.ts";
import { manualClock } from "../../support/clock.ts";
import { MemoryOutbox } from "../../support/memory-outbox.ts";
import { RecordingPublisher } from "../../support/recording-publisher.ts";
import { makeRelay, type RunningRelay } from "../../support/running-relay.ts";

function scheduled() {
  const clock = manualClock();
  const announcements = new Announcements();
  const said: Announcement[] = [];
  announcements.subscribe((announcement) => said.push(announcement));
  const schedule = new Schedule(clock, announcements);
  return { clock, said, schedule, loop: schedule.join() };
}

describe("a schedule", () => {
  it("rests until a tick, and wakes the loop at once", async () => {
    const { clock, schedule, loop } = scheduled();
    expect(loop.isOpen).toBe(false);
    let isAwake = false;
    const resting = loop.rest(new AbortController().signal).then(() => {
      isAwake = true;
    });
    await clock.advance(100);
    expect(isAwake).toBe(false);
    const run = schedule.tick();
    await resting;
    expect(loop.isOpen).toBe(true);
    loop.end();
    await run;
    expect(loop.isOpen).toBe(false);
  });

  it("comes back to look at the leases, and leaves nothing behind when the signal fires", async () => {
    const { clock, loop } = scheduled();
    const stopping = new AbortController();
    const first = loop.rest(stopping.signal);
    await clock.advance(250);
    await first;
    const second = loop.rest(stopping.signal);
    stopping.abort();
    await second;
    await loop.rest(stopping.signal);
    expect(clock.sleeperCount).toBe(0);
  });

  it("ends a run where its first look stood, however much comes after", () => {
    const { schedule, loop } = scheduled();
    expect(loop.endFor(5)).toBe(Number.NEGATIVE_INFINITY);
    expect(loop.isDone(Number.POSITIVE_INFINITY)).toBe(false);
    void schedule.tick();
    expect(loop.endFor(1_000)).toBe(1_000);
    expect(loop.endFor(2_000)).toBe(1_000);
    expect([loop.isDone(999), loop.isDone(1_000)]).toEqual([false, true]);
    loop.end();
    void schedule.tick();
    expect(loop.endFor(3_000)).toBe(3_000);
  });

  it("never overlaps: skips ticks while a run is open, says the first, counts all", async () => {
    const { clock, said, schedule, loop } = scheduled();
    const run = schedule.tick();
    await clock.advance(1_500);
    await schedule.tick();
    schedule.skip();
    schedule.skip();
    loop.end();
    await run;
    schedule.skip();
    expect(said).toEqual([
      { type: "dispatch-started" },
      { type: "dispatch-skipped", openForMs: 1_500 },
      { type: "dispatch-finished", events: 0, skipped: 3, durationMs: 1_500 },
    ]);
  });

  it("says ticks that were missed in one moment together", async () => {
    const { clock, said, schedule } = scheduled();
    for (const second of [1, 2, 3]) schedule.miss(new Date(Date.UTC(2026, 0, 1, 0, 0, second)));
    await clock.advance(0);
    schedule.miss(new Date(Date.UTC(2026, 0, 1, 1)));
    await clock.advance(0);
    expect(said).toEqual([
      {
        type: "dispatch-missed",
        ticks: 3,
        firstDueAt: "2026-01-01T00:00:01.000Z",
        lastDueAt: "2026-01-01T00:00:03.000Z",
      },
      expect.objectContaining({ ticks: 1, firstDueAt: "2026-01-01T01:00:00.000Z" }),
    ]);
  });

  it("keeps nobody waiting once it is closed", async () => {
    const { schedule, loop } = scheduled();
    const run = schedule.tick();
    schedule.close();
    await run;
    await schedule.tick();
    expect(loop.isOpen).toBe(false);
  });

  it("is over when it is over for every loop that takes part, and not before", () => {
    const { said, schedule, loop } = scheduled();
    const other = schedule.join();
    void schedule.tick();
    loop.end();
    expect([loop.isOpen, other.isOpen, schedule.isOpen]).toEqual([false, true, true]);
    expect(loop.endFor(1)).toBe(Number.NEGATIVE_INFINITY);
    other.end();
    expect(schedule.isOpen).toBe(false);
    expect(said.filter(({ type }) => type === "dispatch-finished")).toHaveLength(1);
    void schedule.tick();
    expect([loop.isOpen, other.isOpen]).toEqual([true, true]);
  });
});

interface Stage extends RunningRelay {
  readonly outbox: MemoryOutbox;
  readonly publisher: RecordingPublisher;
  readonly schedule: Schedule;
  readonly seqs: () => number[];
}

async function onStage(work: (stage: Stage) => Promise<void>): Promise<void> {
  const outbox = new MemoryOutbox();
  const publisher = new RecordingPublisher();
  const clock = manualClock();
  const schedules: Schedule[] = [];
  const running = makeRelay(outbox, publisher, {
    dispatch: (announcements) => {
      // Its own sleeps stand still: only a tick wakes the loop, so what is asserted at rest stays so.
      const schedule = new Schedule(clock, announcements);
      schedules.push(schedule);
      return schedule.join();
    },
  });
  const [schedule] = schedules;
  if (schedule === undefined) throw new Error("no schedule was made");
  const seqs = () => publisher.published.map(({ seq }) => Number(seq));
  try {
    await work({ ...running, outbox, publisher, schedule, seqs });
  } finally {
    schedule.close();
    await running.relay.stop();
  }
}

describe("a relay under a schedule", () => {
  it("publishes nothing before a tick, and all that waits at a tick, removed before the run is over", () =>
    onStage(async ({ relay, ear, outbox, schedule, seqs }) => {
      await outbox.write({}, {}, {});
      await relay.start();
      expect(outbox.calls.claim).toBe(0);
      await schedule.tick();
      expect(seqs()).toEqual([1, 2, 3]);
      expect(outbox.remaining).toEqual([]);
      await outbox.write({});
      await schedule.tick();
      expect(seqs()).toEqual([1, 2, 3, 4]);
      expect(ear.all("dispatch-finished").map(({ events }) => events)).toEqual([3, 1]);
    }));

  it("ends a run although events keep coming, and publishes those at the next tick", () =>
    onStage(async ({ relay, outbox, announcements, schedule, seqs }) => {
      let isBusy = true;
      announcements.subscribe(({ type }) => {
        if (type === "polled" && isBusy) void outbox.write({});
      });
      await outbox.write({}, {});
      await relay.start();
      await schedule.tick();
      isBusy = false;
      expect(seqs()).toEqual([1, 2]);
      const late = outbox.remaining.length;
      expect(late).toBeGreaterThan(0);
      await schedule.tick();
      expect(seqs()).toEqual(Array.from({ length: 2 + late }, (_, n) => n + 1));
    }));

  it("is not over before what it has published is removed", () =>
    onStage(async ({ relay, ear, outbox, schedule }) => {
      let letGo: () => void = () => undefined;
      const held = new Promise<void>((resolve) => {
        letGo = resolve;
      });
      const remove = outbox.remove.bind(outbox);
      outbox.remove = async (acks) => {
        await held;
        return remove(acks);
      };
      await outbox.write({});
      await relay.start();
      const run = schedule.tick();
      await ear.next("batch-published");
      await ear.next("polled");
      // The poll that finds nothing more is followed by the end of the run, were nothing in flight.
      for (let turns = 0; turns < 20; turns += 1) await Promise.resolve();
      expect(schedule.isOpen).toBe(true);
      letGo();
      await run;
      expect(outbox.remaining).toEqual([]);
    }));

  it("waits in its run for a transaction that was open at the tick", () =>
    onStage(async ({ relay, ear, outbox, schedule, seqs }) => {
      await relay.start();
      const slow = outbox.begin();
      await slow.insert({ aggregateId: "a" });
      await outbox.write({ aggregateId: "a" });
      const run = schedule.tick();
      for (let polls = 0; polls < 5; polls += 1) await ear.next("polled");
      expect(seqs()).toEqual([]);
      expect(schedule.isOpen).toBe(true);
      await slow.commit();
      await run;
      expect(seqs()).toEqual([1, 2]);
    }));

  it("goes on with its run after an outage, and skips the ticks meanwhile", () =>
    onStage(async ({ relay, ear, outbox, schedule, seqs }) => {
      await relay.start();
      await outbox.write({}, {});
      outbox.isAway = true;
      const run = schedule.tick();
      await ear.next("outbox-lost");
      await schedule.tick();
      expect(ear.all("dispatch-skipped")).toHaveLength(1);
      outbox.isAway = false;
      await run;
      expect(seqs()).toEqual([1, 2]);
      expect(ear.all("dispatch-finished")).toMatchObject([{ events: 2, skipped: 1 }]);
    }));

  it("ends an idle run without a claim where nothing was written since a quiet look", () =>
    onStage(async ({ relay, outbox, schedule }) => {
      await relay.start();
      for (let ticks = 0; ticks < 4; ticks += 1) await schedule.tick();
      const { claim } = outbox.calls;
      await schedule.tick();
      expect(outbox.calls.claim).toBe(claim);
    }));

  it("finds what a sweep was asked for before its run is over", () =>
    onStage(async ({ relay, outbox, schedule, seqs }) => {
      await outbox.write({});
      await relay.start();
      await schedule.tick();
      await outbox.write({ createdAt: "2020-01-01T00:00:00.000000Z" });
      relay.sweepSoon();
      await schedule.tick();
      expect(seqs()).toEqual([1, 2]);
    }));

  it("stops while it rests, and while a run cannot end", () =>
    onStage(async ({ relay, ear, outbox, schedule }) => {
      await relay.start();
      await outbox.begin().insert({});
      const run = schedule.tick();
      await ear.next("polled");
      schedule.close();
      await run;
      await relay.stop();
      expect(ear.all("relay-stopped")).toHaveLength(1);
    }));
});
