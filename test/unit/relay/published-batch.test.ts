import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { Announcements } from "../../../src/relay/announcements.ts";
import { PublishedBatch, type PublishedEvent } from "../../../src/relay/published-batch.ts";
import { aMessage } from "../../support/messages.ts";

const none = { rejections: [], unknowns: [], held: [] } as const;
const shape = {
  type: "batch-published",
  events: 1,
  rejected: 0,
  unknown: 0,
  resent: 0,
  durationMs: 1,
} as const;
const canary = () => aMessage({ topic: "orders", aggregateId: "a", value: "canary payload" });

function shownBy(batch: PublishedBatch): PublishedEvent[] {
  const shown: PublishedEvent[] = [];
  batch.forEach((event) => {
    shown.push(event);
  });
  return shown;
}

describe("a published batch", () => {
  it("shows topic, outcome, age and trace of each event, and no payload however one looks at it", () => {
    const batch = new PublishedBatch([canary()], none);
    const shown = shownBy(batch);
    expect(shown).toEqual([
      {
        topic: "orders",
        outcome: "acked",
        isResent: false,
        createdAtMs: 1_700_000_000_000,
        traceparent: undefined,
      },
    ]);
    for (const text of [
      JSON.stringify({ batch }),
      JSON.stringify(shown),
      inspect(batch, { depth: 9, showHidden: true }),
    ])
      expect(text).not.toContain("canary");
    // The twin with its messages in an ordinary field would be seen.
    expect(JSON.stringify({ messages: [canary()] })).toContain("canary");
  });

  it("counts as sent again what was acked now and tried before", () => {
    const [one, two, three] = [canary(), canary(), canary()];
    const tried = new Set([one.event, two.event]);
    const batch = new PublishedBatch([one, two, three], { ...none, unknowns: [two.event] }, tried);
    expect(batch.resentCount).toBe(1);
  });

  it("can be read by every listener, and by nobody afterwards", () => {
    const announcements = new Announcements();
    const kept: PublishedBatch[] = [];
    const counts: number[] = [];
    for (let listener = 0; listener < 2; listener += 1) {
      announcements.subscribe((said) => {
        if (said.type !== "batch-published") return;
        kept.push(said.batch);
        counts.push(shownBy(said.batch).length);
      });
    }
    announcements.announce({ ...shape, batch: new PublishedBatch([canary()], none) });
    expect(counts).toEqual([1, 1]);
    expect(kept.map((batch) => shownBy(batch).length)).toEqual([0, 0]);
  });
});
