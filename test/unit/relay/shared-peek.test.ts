import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/foundation/clock.ts";
import { SharedPeek } from "../../../src/relay/shared-peek.ts";
import { MemoryOutbox } from "../../support/memory-outbox.ts";

const goesOn = new AbortController().signal;

function stage(timing: ConstructorParameters<typeof SharedPeek>[2] = { pollMaxMs: 10, idlePoll: "server" }) {
  const asked: string[] = [];
  let answer: (mark: string) => void = () => undefined;
  const outbox = Object.assign(new MemoryOutbox(), {
    awaitChange: (mark: string) => {
      asked.push(mark);
      return new Promise<string>((resolve) => {
        answer = resolve;
      });
    },
  });
  return {
    asked,
    peek: new SharedPeek(outbox, systemClock, timing, 0),
    answer: (mark: string) => answer(mark),
  };
}

describe("the wait for another mark", () => {
  it("is one for all loops that know the same mark", async () => {
    const { peek, asked, answer } = stage();
    const both = [peek.change("1", goesOn), peek.change("1", goesOn)];
    answer("2");
    expect(await Promise.all(both)).toEqual(["2", "2"]);
    expect(asked).toEqual(["1"]);
  });

  it("keeps nobody waiting who knows another one", async () => {
    const { peek, answer } = stage();
    const waiting = peek.change("2", goesOn);
    expect(await peek.change("1", goesOn)).toBe("2");
    answer("2");
    await waiting;
  });

  it("ends with a stop", async () => {
    const { peek } = stage();
    const stopping = new AbortController();
    const waiting = peek.change("1", stopping.signal);
    stopping.abort();
    expect(await waiting).toBe("1");
  });

  it("is left to the relay itself where it was told so, or polls seldom", async () => {
    for (const timing of [
      { pollMaxMs: 10, idlePoll: "client" },
      { pollMaxMs: 1_500, idlePoll: "server" },
    ] as const) {
      const { peek, asked } = stage(timing);
      expect(await peek.change("1", goesOn)).toBeNull();
      expect(asked).toEqual([]);
    }
  });
});
