import { describe, expect, it } from "vitest";
import { InboxPruning, type PruningConnection } from "../../../src/inbox/pruning.ts";

const day = 24 * 3_600_000;

/** A pruning over answers given one by one; an Error is thrown. */
function scripted(answers: readonly (string | Error)[]) {
  const said: string[] = [];
  const asked: string[][] = [];
  let opened = 0;
  let place = 0;
  const connect = (): PruningConnection => {
    opened += 1;
    return {
      execute: async () => undefined,
      ask: async (_, texts) => {
        asked.push(texts.map(String));
        const answer = answers[place++] ?? "0";
        if (answer instanceof Error) throw answer;
        return [answer];
      },
      close: async () => {
        opened -= 1;
      },
    };
  };
  const pruning = new InboxPruning(
    connect,
    { schema: "outbox", retentionMs: day, rowsMax: 10 },
    { pruned: (rows) => said.push(`pruned ${rows}`), obstructed: (obstacle) => said.push(obstacle) },
  );
  return { pruning, said, asked, openCount: () => opened };
}

describe("pruning the inbox", () => {
  it("goes on while a batch is full, says the sum, and holds no connection", async () => {
    const { pruning, said, asked, openCount } = scripted(["ready", "10", "10", "3"]);
    await pruning.run();
    expect(said).toEqual(["pruned 23"]);
    expect(asked).toEqual([["outbox"], ...Array.from({ length: 3 }, () => [String(day), "10"])]);
    expect(openCount()).toBe(0);
  });

  it("says nothing when nothing was old", async () => {
    const { pruning, said } = scripted(["ready", "0"]);
    await pruning.run();
    expect(said).toEqual([]);
  });

  it("says once what stands in its way, and again after it had worked", async () => {
    const { pruning, said, asked } = scripted(["missing", "missing", "forbidden", "ready", "1", "forbidden"]);
    for (let run = 0; run < 5; run++) await pruning.run();
    expect(said).toEqual(["missing", "forbidden", "pruned 1", "forbidden"]);
    // Nothing is deleted where it may not be.
    expect(asked.filter((texts) => texts.length === 2).length).toBe(1);
  });

  it("says what it did before PostgreSQL went away, and gives the connection back", async () => {
    const { pruning, said, openCount } = scripted(["ready", "10", new Error("away")]);
    await expect(pruning.run()).rejects.toThrow("away");
    expect([said, openCount()]).toEqual([["pruned 10"], 0]);
  });

  it("ends after the batch it is at when it is told to stop, and has a bound without that", async () => {
    const endless = scripted(["ready", ...Array.from({ length: 500 }, () => "10")]);
    await endless.pruning.run();
    expect(endless.said).toEqual(["pruned 2000"]);
    const stopped = scripted(["ready", "10"]);
    stopped.pruning.stop();
    await stopped.pruning.run();
    expect(stopped.said).toEqual([]);
  });
});
