import { describe, expect, it } from "vitest";
import { Tempo } from "../../../src/relay/tempo.ts";

/** One that found something every so many milliseconds, the last time at 1,000. */
function stream(gapMs: number): Tempo {
  const tempo = new Tempo();
  for (let n = 40; n >= 0; n -= 1) tempo.found(1_000 - n * gapMs);
  return tempo;
}

describe("tempo", () => {
  it("expects the next event until twice the usual time has passed", () => {
    const tempo = stream(4);
    expect([1_000, 1_004, 1_008].map((ms) => tempo.isNear(ms))).toEqual([true, true, true]);
    expect(tempo.isNear(1_008.1)).toBe(false);
  });

  it("expects nothing before anything came, after a single event, and where events are rare", () => {
    const tempo = new Tempo();
    expect(tempo.isNear(0)).toBe(false);
    tempo.found(0);
    expect(tempo.isNear(0)).toBe(false);
    expect(stream(20).isNear(1_001)).toBe(true);
    expect(stream(21).isNear(1_001)).toBe(false);
  });

  it("knows a stream again soon after a long silence", () => {
    const tempo = stream(4);
    tempo.found(60_000);
    expect(tempo.isNear(60_001)).toBe(true);
    const rare = stream(1_000);
    for (let n = 1; n <= 4; n += 1) rare.found(1_000 + n * 4);
    expect(rare.isNear(1_017)).toBe(true);
  });

  it("hurries twice behind a commit that is near, and anew after a poll that awaited none", () => {
    const tempo = new Tempo();
    const answers = [true, true, true, true, false, true, true, true].map((isAwaited) =>
      tempo.hurries(isAwaited),
    );
    expect(answers).toEqual([true, true, false, false, false, true, true, false]);
  });
});
