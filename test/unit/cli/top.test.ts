import { describe, expect, it } from "vitest";
import { plain } from "../../../src/cli/demo/rendering.ts";
import { extended, noHistory, ratesBetween } from "../../../src/cli/top/rates.ts";
import { renderView } from "../../../src/cli/top/rendering.ts";
import { Screen } from "../../../src/cli/top/screen.ts";
import type { Sample } from "../../../src/outbox/overview.ts";

const quiet: Sample = {
  clockMs: Date.UTC(2026, 0, 31, 12),
  database: "shop",
  written: 1_000,
  removed: 900,
  backlog: { events: 100, isMore: false, oldestAgeMs: 1_500 },
  relays: [{ member: "pod-1", shards: 64, expiresInMs: 8_000 }],
  shardsFree: 0,
  shardsExpired: 0,
  blocked: { aggregates: 0, first: [] },
  deadLetters: 0,
  writers: [],
};

const page = (sample: Sample, columns = 100, rows?: number) =>
  renderView(
    {
      sample,
      rates: ratesBetween(undefined, sample),
      history: noHistory,
      schema: "public",
      intervalMs: 2_000,
    },
    plain,
    columns,
    rows,
  );

describe("rates", () => {
  it("are what was counted between two looks, by the database's clock", () => {
    const later = { ...quiet, clockMs: quiet.clockMs + 2_000, written: 1_500, removed: 1_900 };
    expect(ratesBetween(quiet, later)).toEqual({ writtenPerSecond: 250, removedPerSecond: 500 });
  });

  it("are unknown at first, and when the statistics were reset", () => {
    expect(ratesBetween(undefined, quiet)).toEqual({ writtenPerSecond: null, removedPerSecond: null });
    const reset = { ...quiet, clockMs: quiet.clockMs + 1_000, removed: 0 };
    expect(ratesBetween(quiet, reset)).toEqual({ writtenPerSecond: 0, removedPerSecond: null });
  });

  it("are remembered for as long as there is room to draw them", () => {
    let history = noHistory;
    for (let n = 0; n < 100; n += 1)
      history = extended(history, { writtenPerSecond: n, removedPerSecond: null }, quiet);
    expect([history.written.length, history.removed.length, history.written.at(-1)]).toEqual([30, 0, 99]);
  });
});

describe("the page", () => {
  it("shows what waits, who relays, what is blocked and who writes", () => {
    const busy: Sample = {
      ...quiet,
      relays: [...quiet.relays, { member: "pod-2", shards: 3, expiresInMs: null }],
      shardsExpired: 3,
      blocked: {
        aggregates: 7,
        first: [{ aggregateId: "order-1", reason: "topic-unknown", attempts: 4, sinceMs: 90_000 }],
      },
      deadLetters: 2,
      writers: [
        { pid: null, application: null, openForMs: null },
        { pid: 71, application: "report", openForMs: 200_000 },
      ],
    };
    const text = page(busy);
    for (const part of [
      "shop/public  12:00:00 UTC",
      "backlog          100",
      "the oldest for 1.5 s",
      "61  owned by 1 relay(s), 0 free, 3 expired",
      "pod-2",
      "gone",
      '"order-1"  topic-unknown, 4 rejection(s) in 90 s',
      "dead               2",
      "pid none (prepared), open for an unknown time",
      "pid 71 (report), open for 3 min",
    ])
      expect(text).toContain(part);
  });

  it("fits the terminal, and obeys nothing that an application wrote", () => {
    const nasty = "\u001b[2J\u0007\n";
    const many = Array.from({ length: 40 }, (_, n) => ({
      member: `${nasty}${n}`,
      shards: 1,
      expiresInMs: 1,
    }));
    const sample: Sample = {
      ...quiet,
      relays: many,
      blocked: { aggregates: 1, first: [{ aggregateId: nasty, reason: "r", attempts: 1, sinceMs: 1 }] },
      writers: [{ pid: 1, application: nasty, openForMs: 1 }],
    };
    const lines = page(sample, 40, 20).split("\n");
    expect(lines.length).toBe(20);
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(40);
    expect(page(sample).replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  });
});

describe("the screen", () => {
  const recorded = (isTTY: boolean) => {
    const written: string[] = [];
    return {
      written,
      screen: new Screen({ isTTY, columns: 80, rows: 24, write: (text) => written.push(text) }),
    };
  };

  it("hides the cursor while it draws, and gives it back once", () => {
    const { written, screen } = recorded(true);
    screen.show("a\nb");
    screen.show("c");
    screen.close();
    screen.close();
    const all = written.join("");
    expect(all.startsWith("\u001b[?1049h\u001b[?25l")).toBe(true);
    expect(all.endsWith("\u001b[?25h\u001b[?1049l")).toBe(true);
    expect(all.split("\u001b[?25h").length).toBe(2);
    expect(all.split("\u001b[?25l").length).toBe(2);
  });

  it("writes no control sequence where there is no terminal", () => {
    const { written, screen } = recorded(false);
    screen.show("a\nb");
    screen.close();
    expect(written.join("")).toBe("a\nb\n\n");
  });
});
