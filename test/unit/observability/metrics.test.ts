import { describe, expect, it } from "vitest";
import { metricTable } from "../../../src/observability/metric-table.ts";
import { Metrics } from "../../../src/observability/metrics.ts";
import { Announcements } from "../../../src/relay/announcements.ts";
import { PublishedBatch } from "../../../src/relay/published-batch.ts";
import { manualClock } from "../../support/clock.ts";
import { everyAnnouncement } from "../../support/every-announcement.ts";
import { readExposition, sampleOf } from "../../support/exposition.ts";
import { aMessage } from "../../support/messages.ts";

function listening() {
  const clock = manualClock(1_700_000_000_000);
  const announcements = new Announcements();
  const facts = { version: "1.2.3", delivery: "at-least-once", publisher: "kafka" };
  const readings = { blockedCount: () => 7, pulseAgeMs: () => 1_500, isReady: () => true };
  const metrics = new Metrics(clock, facts, readings);
  announcements.subscribe(metrics.listener);
  const read = async (name: string, labels?: Record<string, string>) =>
    sampleOf(readExposition(await metrics.render()), name, labels);
  return { clock, announcements, metrics, read };
}

const polled = { type: "polled", events: 3, bytes: 90, fenceLagMs: 0, durationMs: 0 } as const;
const publishedAt = {
  type: "batch-published",
  events: 1,
  rejected: 0,
  unknown: 0,
  resent: 0,
  durationMs: 4,
} as const;

describe("metrics", () => {
  it("show every metric of the table once every announcement was heard", async () => {
    const { announcements, metrics } = listening();
    for (const announcement of everyAnnouncement()) announcements.announce(announcement);
    const families = readExposition(await metrics.render());
    expect([...families.keys()].sort()).toEqual(Object.keys(metricTable).sort());
    for (const [name, { help, type }] of families) {
      expect(help, name).not.toBe("");
      expect(type === "counter", name).toBe(name.endsWith("_total"));
    }
  });

  it("count the events of a batch by topic and outcome", async () => {
    const { announcements, read } = listening();
    const messages = ["a", "a", "b", "b", "b", "c"].map((topic, at) =>
      aMessage({ topic, aggregateId: `x${at}` }),
    );
    const [, , third, fourth, fifth, sixth] = messages.map(({ event }) => event);
    if (!third || !fourth || !fifth || !sixth) throw new Error("six were made");
    const rejections = [{ event: third, reason: "broker-refused", message: "no" }] as const;
    const failures = { rejections, unknowns: [fourth], held: [sixth] };
    announcements.announce({
      ...publishedAt,
      ...{ events: 3, rejected: 1, unknown: 1 },
      batch: new PublishedBatch(messages, failures, new Set([fourth, fifth])),
    });
    expect(await read("outrider_events_published_total", { topic: "a" })).toBe(2);
    expect(await read("outrider_events_published_total", { topic: "b" })).toBe(1);
    expect(await read("outrider_events_published_total", { topic: "c" })).toBe(0);
    expect(await read("outrider_events_rejected_total", { topic: "b" })).toBe(1);
    expect(await read("outrider_events_unknown_total", { topic: "b" })).toBe(1);
    // The one whose outcome is unknown again is not there for certain.
    expect(await read("outrider_events_resent_total", { topic: "b" })).toBe(1);
    expect(await read("outrider_delivery_latency_seconds_count")).toBe(3);
  });

  it("measure latency by the database's clock, not by this machine's", async () => {
    const { clock, announcements, read } = listening();
    // The database is an hour ahead; the event was created 40 ms ago by its clock.
    announcements.announce({ ...polled, databaseClockMs: clock.wallMs() + 3_600_000 });
    const message = {
      ...aMessage({ topic: "t", aggregateId: "a" }),
      timestamp: String(clock.wallMs() + 3_599_960),
    };
    announcements.announce({ ...publishedAt, batch: new PublishedBatch([message], none) });
    expect(await read("outrider_delivery_latency_seconds_sum")).toBeCloseTo(0.04);
  });

  it("let the oldest age grow while PostgreSQL is away, and only then", async () => {
    const { clock, announcements, read } = listening();
    expect(await read("outrider_oldest_age_seconds")).toBeNaN();
    announcements.announce({ type: "relay-started" });
    announcements.announce({ type: "backlog-counted", events: 2, isMore: false, oldestAgeMs: 5_000 });
    await clock.advance(10_000);
    expect(await read("outrider_oldest_age_seconds")).toBe(5);
    expect(await read("outrider_backlog_count_age_seconds")).toBe(10);
    announcements.announce({ type: "outbox-lost", message: "gone" });
    expect(await read("outrider_oldest_age_seconds")).toBe(15);
    announcements.announce({ type: "backlog-counted", events: 0, isMore: false, oldestAgeMs: null });
    expect(await read("outrider_oldest_age_seconds")).toBe(0);
  });

  it("name who holds the fence until the fence moves on", async () => {
    const { announcements, read } = listening();
    const held = { type: "fence-held", application: "shop", transaction: "3/4" } as const;
    announcements.announce({ ...held, pid: 4_242, heldMs: 5_000 });
    announcements.announce({ ...polled, databaseClockMs: 0, fenceLagMs: 5_010 });
    expect(await read("outrider_fence_holder_pid")).toBe(4_242);
    announcements.announce({ ...polled, databaseClockMs: 0, fenceLagMs: 3 });
    expect(await read("outrider_fence_holder_pid")).toBe(0);
    announcements.announce({ ...held, pid: null, heldMs: 5_000 });
    expect(await read("outrider_fence_holder_pid")).toBe(-1);
  });

  it("take a broker for back only when it took a whole batch", async () => {
    const { announcements, read } = listening();
    const [one, two] = [
      aMessage({ topic: "t", aggregateId: "a" }),
      aMessage({ topic: "t", aggregateId: "b" }),
    ];
    announcements.announce({ type: "broker-lost", message: "gone" });
    const partly = new PublishedBatch([one, two], { ...none, unknowns: [two.event] });
    announcements.announce({ ...publishedAt, unknown: 1, batch: partly });
    expect(await read("outrider_broker_up")).toBe(0);
    announcements.announce({ ...publishedAt, batch: new PublishedBatch([one], none) });
    expect(await read("outrider_broker_up")).toBe(1);
  });

  it("hold no id in any label", async () => {
    const { announcements, metrics } = listening();
    for (const announcement of everyAnnouncement()) announcements.announce(announcement);
    expect(await metrics.render()).not.toMatch(/canary/);
    expect(JSON.stringify(everyAnnouncement())).toMatch(/canary/);
  });
});

const none = { rejections: [], unknowns: [], held: [] } as const;
