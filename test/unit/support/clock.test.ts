import { describe, expect, it } from "vitest";
import { manualClock } from "../../support/clock.ts";

describe("the manual clock", () => {
  it("wakes sleepers in the order of their times, each at its own", async () => {
    const clock = manualClock();
    const woken: string[] = [];
    const sleeper = async (name: string, ms: number) => {
      await clock.sleep(ms);
      woken.push(`${name}@${clock.monotonicMs()}`);
    };
    const all = [
      sleeper("late", 30),
      sleeper("early", 10),
      sleeper("first-of-equals", 20),
      sleeper("second", 20),
    ];
    await clock.advance(25);
    expect(woken).toEqual(["early@10", "first-of-equals@20", "second@20"]);
    await clock.advance(5);
    await Promise.all(all);
    expect(woken.at(-1)).toBe("late@30");
  });

  it("lets a loop sleep again inside one advance", async () => {
    const clock = manualClock();
    const ticks: number[] = [];
    const loop = (async () => {
      for (let round = 0; round < 3; round += 1) {
        await clock.sleep(10);
        ticks.push(clock.monotonicMs());
      }
    })();
    await clock.advance(100);
    await loop;
    expect(ticks).toEqual([10, 20, 30]);
    expect(clock.monotonicMs()).toBe(100);
  });

  it("ends a sleep when its signal fires, and starts none when it has fired", async () => {
    const clock = manualClock();
    const stop = new AbortController();
    const sleeping = clock.sleep(1_000, stop.signal);
    await clock.asleep();
    stop.abort();
    await sleeping;
    await clock.sleep(1_000, stop.signal);
    expect(clock.sleeperCount).toBe(0);
    expect(clock.monotonicMs()).toBe(0);
  });

  it("rings an alarm at its time, and not once it was silenced", async () => {
    const clock = manualClock();
    const rung: string[] = [];
    clock.alarm(10, () => rung.push(`first@${clock.monotonicMs()}`));
    const silence = clock.alarm(20, () => rung.push("second"));
    await clock.advance(15);
    silence();
    await clock.advance(100);
    expect(rung).toEqual(["first@10"]);
    expect(clock.sleeperCount).toBe(0);
  });

  it("keeps wall and monotonic time in step", async () => {
    const clock = manualClock(5_000);
    await clock.advance(250);
    expect([clock.wallMs(), clock.monotonicMs()]).toEqual([5_250, 250]);
  });
});
