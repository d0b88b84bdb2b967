/** What a claim leaves behind: where the next one begins, and which fence it goes by. */
import { describe, expect, it } from "vitest";
import { allShards } from "../../../src/event/shard.ts";
import { systemClock } from "../../../src/foundation/clock.ts";
import { fenceAt } from "../../../src/outbox/fence.ts";
import { Announcements } from "../../../src/relay/announcements.ts";
import { Claims } from "../../../src/relay/claims.ts";
import { Cursors } from "../../../src/relay/cursors.ts";
import { continuously } from "../../../src/relay/dispatch.ts";
import { FenceWatch } from "../../../src/relay/fence-watch.ts";
import { MemoryOutbox } from "../../support/memory-outbox.ts";

const sizes = { batchEventsMax: 100, batchBytesMax: 1_000_000, payloadBytesMax: 1_000_000 };

function onStage() {
  const outbox = new MemoryOutbox();
  const announcements = new Announcements();
  const cursors = new Cursors();
  cursors.own(new Set(allShards));
  const fenceWatch = new FenceWatch(outbox, { fenceHoldMs: 60_000, fenceWarnMs: 60_000 }, announcements);
  const parts = { outbox, clock: systemClock, announcements, fenceWatch, dispatch: continuously, cursors };
  const claims = new Claims(parts, sizes);
  const polls: number[] = [];
  announcements.subscribe((said) => {
    if (said.type === "polled") polls.push(said.events);
  });
  const rangesNow = () =>
    cursors.plan(100, fenceAt(outbox.now + 1_000_000)).ranges.map((range) => ({ ...range, fence: 0 }));
  return { outbox, claims, polls, rangesNow };
}

async function claimed(claims: Claims, since: string | null) {
  const taken = await claims.take([], since);
  if (taken === "unchanged") throw new Error("unchanged");
  return taken;
}

describe("a claim where nothing was written since", () => {
  it("moves neither a cursor nor the fence, and counts as no poll", async () => {
    const { outbox, claims, polls, rangesNow } = onStage();
    await outbox.write({}, {});
    expect((await claimed(claims, null)).events).toHaveLength(2);
    const { outboxMark, isQuiet } = await claimed(claims, null);
    expect(isQuiet).toBe(true);
    const before = { ranges: rangesNow(), looks: outbox.calls.look, polls: [...polls] };
    expect(await claims.take([], outboxMark)).toBe("unchanged");
    expect({ ranges: rangesNow(), looks: outbox.calls.look, polls }).toEqual(before);
  });

  it("has not passed what is written right after it", async () => {
    const { outbox, claims } = onStage();
    const { outboxMark } = await claimed(claims, null);
    await claims.take([], outboxMark);
    const open = outbox.begin();
    const early = await open.insert({ aggregateId: "a" });
    const [late] = await outbox.write({ aggregateId: "a" });
    // The first of them is open: whatever stands behind it waits.
    expect((await claimed(claims, outboxMark)).events).toEqual([]);
    await open.commit();
    const { events } = await claimed(claims, outboxMark);
    expect(events.map(({ eventId }) => eventId)).toEqual([early, late]);
  });
});
