/** The whole loop over the model of PostgreSQL and a publisher whose answers are scripted. */
import { describe, expect, it } from "vitest";
import { acknowledge } from "../../../src/event/acknowledgement.ts";
import type { Report } from "../../../src/event/delivery.ts";
import type { Message } from "../../../src/event/message.ts";
import { allShards } from "../../../src/event/shard.ts";
import { type Clock, systemClock } from "../../../src/foundation/clock.ts";
import { OutriderError } from "../../../src/foundation/errors.ts";
import type { RelayLimits } from "../../../src/relay/polling-publisher.ts";
import { MemoryOutbox } from "../../support/memory-outbox.ts";
import { RecordingPublisher } from "../../support/recording-publisher.ts";
import { makeRelay, type RunningRelay } from "../../support/running-relay.ts";

/** Acks what the script lets pass; a refused event holds the rest of its lane, as the port demands. */
class ScriptedPublisher extends RecordingPublisher {
  isRefused: (message: Message) => boolean = () => false;
  /** The next so many calls reach the broker, but nobody learns of it. */
  unansweredCalls = 0;
  connects = 0;
  connectionsRefused = 0;

  override async connect(): Promise<void> {
    this.connects += 1;
    if (this.connects <= this.connectionsRefused) {
      throw new OutriderError("BROKER_UNAVAILABLE", "refused", { retriable: true });
    }
  }

  override async publish(messages: readonly Message[]): Promise<Report> {
    const stopped = new Set<string>();
    const passed: Message[] = [];
    const report = { acks: [], rejections: [], unknowns: [], held: [] } as { [K in keyof Report]: unknown[] };
    for (const message of messages) {
      if (stopped.has(message.key)) report.held.push(message.event);
      else if (this.isRefused(message)) {
        stopped.add(message.key);
        report.rejections.push({ event: message.event, reason: "broker-refused", message: "scripted" });
      } else passed.push(message);
    }
    await super.publish(passed);
    const events = passed.map(({ event }) => event);
    if (this.unansweredCalls > 0) {
      this.unansweredCalls -= 1;
      return { ...report, unknowns: events, trouble: "no answer" } as unknown as Report;
    }
    return { ...report, acks: events.map(acknowledge) } as unknown as Report;
  }
}

interface Stage extends RunningRelay {
  readonly outbox: MemoryOutbox;
  readonly publisher: ScriptedPublisher;
  readonly publishedSeqs: () => number[];
}

async function onStage(
  work: (stage: Stage) => Promise<void>,
  limits: Partial<RelayLimits> = {},
): Promise<void> {
  const outbox = new MemoryOutbox();
  const publisher = new ScriptedPublisher();
  const running = makeRelay(outbox, publisher, { limits });
  try {
    await work({
      ...running,
      outbox,
      publisher,
      publishedSeqs: () => publisher.published.map(({ seq }) => Number(seq)),
    });
  } finally {
    await running.relay.stop();
  }
}

const isEmpty = (outbox: MemoryOutbox) => () => outbox.remaining.length === 0;

describe("relay", () => {
  it("publishes in order and removes what was acked", () =>
    onStage(
      async ({ relay, ear, outbox, publishedSeqs }) => {
        await outbox.write(...Array.from({ length: 50 }, () => ({ aggregateId: "a" })));
        await relay.start();
        await ear.until(isEmpty(outbox));
        expect(publishedSeqs()).toEqual(Array.from({ length: 50 }, (_, n) => n + 1));
      },
      { batchEventsMax: 7 },
    ));

  it("waits behind an open transaction and publishes its rows first", () =>
    onStage(async ({ relay, ear, outbox, publishedSeqs }) => {
      await relay.start();
      const slow = outbox.begin();
      await slow.insert({ aggregateId: "a" });
      await outbox.write({ aggregateId: "a" });
      await ear.next("polled");
      await ear.next("polled");
      expect(publishedSeqs()).toEqual([]);
      await slow.commit();
      await ear.until(isEmpty(outbox));
      expect(publishedSeqs()).toEqual([1, 2]);
    }));

  it("blocks only the aggregate of a rejected event, retries it, and keeps its order", () =>
    onStage(async ({ relay, ear, outbox, publisher, publishedSeqs }) => {
      let isBroken = true;
      publisher.isRefused = ({ event }) => isBroken && event.seq === "2";
      await outbox.write(
        { aggregateId: "bad" },
        { aggregateId: "bad" },
        { aggregateId: "bad" },
        { aggregateId: "good" },
      );
      await relay.start();
      await ear.next("aggregate-blocked", ({ attempts }) => attempts === 2);
      await outbox.write({ aggregateId: "bad" }, { aggregateId: "good" });
      await ear.until(() => outbox.remaining.length === 3);
      expect(publishedSeqs().sort()).toEqual([1, 4, 6]);
      expect(outbox.remaining.map(({ seq }) => seq)).toEqual(["2", "3", "5"]);
      isBroken = false;
      await ear.until(isEmpty(outbox));
      expect(publishedSeqs().slice(3)).toEqual([2, 3, 5]);
      expect(ear.all("aggregate-unblocked")).toHaveLength(1);
    }));

  it("never skips an event that cannot be translated, and never stops the others for it", () =>
    onStage(async ({ relay, ear, outbox, publishedSeqs }) => {
      await outbox.write(
        { aggregateId: "bad", topic: "not a topic" },
        { aggregateId: "bad" },
        { aggregateId: "good" },
      );
      await relay.start();
      expect(await ear.next("aggregate-blocked")).toMatchObject({
        aggregateId: "bad",
        reason: "topic-invalid",
      });
      await ear.until(() => outbox.remaining.length === 2);
      expect(publishedSeqs()).toEqual([3]);
    }));

  it("publishes the same events again after an unknown outcome, before anything else of theirs", () =>
    onStage(
      async ({ relay, ear, outbox, publisher, publishedSeqs }) => {
        publisher.unansweredCalls = 2;
        await outbox.write(...Array.from({ length: 6 }, () => ({ aggregateId: "a" })));
        await relay.start();
        await ear.until(isEmpty(outbox));
        expect(publishedSeqs()).toEqual([1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 5, 6]);
        expect(ear.all("broker-lost")).toHaveLength(1);
        expect(ear.all("broker-back")).toHaveLength(1);
      },
      { batchEventsMax: 3 },
    ));

  it("doubles nothing when the answer to a removal is lost", () =>
    onStage(async ({ relay, ear, outbox, publishedSeqs }) => {
      outbox.removalsUnanswered = 2;
      await outbox.write({}, {}, {});
      await relay.start();
      await ear.next("batch-removed", ({ gone }) => gone === 3);
      relay.sweepSoon();
      await ear.next("swept");
      await ear.next("polled");
      expect(publishedSeqs()).toEqual([1, 2, 3]);
    }));

  it("says once that PostgreSQL is away, and goes on when it is back, doubling nothing", () =>
    onStage(async ({ relay, ear, outbox, publishedSeqs }) => {
      await relay.start();
      await outbox.write({});
      await ear.until(isEmpty(outbox));
      outbox.isAway = true;
      await ear.next("outbox-lost");
      await outbox.write({});
      const back = ear.next("outbox-back");
      outbox.isAway = false;
      await back;
      await ear.until(isEmpty(outbox));
      expect(publishedSeqs()).toEqual([1, 2]);
      expect(ear.all("outbox-lost")).toHaveLength(1);
    }));

  it("waits for PostgreSQL and for the broker at the start", () =>
    onStage(async ({ relay, ear, outbox, publisher }) => {
      outbox.isAway = true;
      publisher.connectionsRefused = 3;
      await outbox.write({});
      const lost = ear.next("outbox-lost");
      const started = relay.start();
      await lost;
      outbox.isAway = false;
      await started;
      await ear.until(isEmpty(outbox));
      expect(ear.all("broker-lost")).toHaveLength(1);
    }));

  it("refuses a table that cannot be relayed safely, with every repair", () =>
    onStage(async ({ relay, outbox }) => {
      outbox.faults = [
        { code: "x", message: "no index", repair: "create index" },
        { code: "y", message: "unlogged", repair: "set logged" },
      ];
      await expect(relay.start()).rejects.toThrow(
        /no index[\s\S]*create index[\s\S]*unlogged[\s\S]*set logged/,
      );
    }));

  it("stops while waiting, before a start, and twice", () =>
    onStage(async ({ relay, ear, outbox }) => {
      outbox.isAway = true;
      const lost = ear.next("outbox-lost");
      const started = relay.start();
      await lost;
      await Promise.all([relay.stop(), relay.stop()]);
      await started;
      await relay.start();
      expect(ear.all("relay-started")).toHaveLength(0);
      expect(ear.all("relay-stopped")).toHaveLength(1);
    }));

  it("finishes what is in flight when it stops, so that nothing is doubled by the next one", () =>
    onStage(
      async ({ relay, ear, outbox, publisher }) => {
        await outbox.write(...Array.from({ length: 100 }, () => ({})));
        await relay.start();
        await ear.next("batch-published");
        await relay.stop();
        const published = new Set(publisher.published.map(({ eventId }) => eventId));
        expect(outbox.remaining.filter(({ eventId }) => published.has(eventId))).toEqual([]);
        expect(outbox.remaining.length).toBeGreaterThan(0);
      },
      { batchEventsMax: 5 },
    ));

  it("doubles nothing when a sweep falls into full work", () =>
    onStage(
      async ({ relay, ear, outbox, announcements, publisher }) => {
        announcements.subscribe(({ type }) => {
          if (type === "polled") relay.sweepSoon();
        });
        await outbox.write(...Array.from({ length: 200 }, (_, n) => ({ aggregateId: `a-${n % 7}` })));
        await relay.start();
        await ear.until(isEmpty(outbox));
        expect(publisher.published).toHaveLength(200);
      },
      { batchEventsMax: 9 },
    ));

  it("claims nothing more while too many aggregates are blocked", () =>
    onStage(
      async ({ relay, ear, outbox, publisher, publishedSeqs }) => {
        let isBroken = true;
        publisher.isRefused = ({ key }) => isBroken && key !== "good";
        await outbox.write(...Array.from({ length: 3 }, (_, n) => ({ aggregateId: `bad-${n}` })));
        await relay.start();
        expect(await ear.next("blocked-limit-reached")).toMatchObject({ blocked: 3 });
        await outbox.write({ aggregateId: "good" });
        const claims = outbox.calls.claim;
        await ear.next("aggregate-blocked", ({ attempts }) => attempts === 3);
        expect(outbox.calls.claim).toBe(claims);
        isBroken = false;
        await ear.until(isEmpty(outbox));
        expect(publishedSeqs()).toHaveLength(4);
      },
      { blockedAggregatesMax: 3 },
    ));

  it("asks an idle outbox nothing but its mark", () =>
    onStage(async ({ relay, ear, outbox }) => {
      await outbox.write({});
      await relay.start();
      await ear.until(isEmpty(outbox));
      const peeks = (count: number) =>
        new Promise<void>((resolve) => {
          const original = outbox.peek.bind(outbox);
          const last = outbox.calls.peek + count;
          outbox.peek = async () => {
            if (outbox.calls.peek >= last) resolve();
            return original();
          };
        });
      await peeks(1);
      const { look, claim, unchanged } = outbox.calls;
      expect(unchanged).toBe(1);
      await peeks(20);
      expect(outbox.calls).toMatchObject({ look, claim, unchanged });
      await outbox.write({});
      await ear.until(isEmpty(outbox));
    }));

  it("waits at the server only once nothing is on its way: a removal would stand in line behind the wait", async () => {
    let whatIsAsked = () => {};
    const waits: number[] = [];
    class WaitingOutbox extends MemoryOutbox {
      override async peek() {
        whatIsAsked();
        return super.peek();
      }
      override async awaitChange(): Promise<null> {
        waits.push(this.remaining.length);
        whatIsAsked();
        return null;
      }
    }
    class SlowPublisher extends RecordingPublisher {
      answer = () => {};
      override async publish(messages: readonly Message[]): Promise<Report> {
        await new Promise<void>((resolve) => {
          this.answer = resolve;
        });
        return super.publish(messages);
      }
    }
    const [outbox, publisher] = [new WaitingOutbox(), new SlowPublisher()];
    const asked = (count: number) =>
      new Promise<void>((resolve) => {
        let left = count;
        whatIsAsked = () => {
          left -= 1;
          if (left === 0) resolve();
        };
      });
    const { relay, ear } = makeRelay(outbox, publisher);
    await outbox.write({});
    await relay.start();
    await asked(20);
    expect(waits).toEqual([]);
    publisher.answer();
    await ear.until(isEmpty(outbox));
    await asked(3);
    await relay.stop();
    expect(waits.length).toBeGreaterThan(0);
    expect(waits.every((left) => left === 0)).toBe(true);
  });

  it("polls on at the shortest pause while a transaction is open that began a moment ago", () =>
    onStage(
      async ({ relay, ear, outbox }) => {
        await relay.start();
        const transaction = outbox.begin();
        await transaction.insert({});
        // With pauses that double it would take half a minute to the sixteenth of them.
        for (let polls = 0; polls < 30; polls += 1) await ear.next("polled");
        await transaction.commit();
        await ear.until(isEmpty(outbox));
      },
      { pollMinMs: 0, pollMaxMs: 60_000 },
    ));

  it("polls twice at once behind such a transaction, and then with pauses again", async () => {
    const outbox = new MemoryOutbox();
    const pauses: number[] = [];
    const clock: Clock = {
      ...systemClock,
      sleep: (ms, signal) => {
        pauses.push(ms);
        return systemClock.sleep(ms, signal);
      },
    };
    const limits = { pollMinMs: 7, pollMaxMs: 7 };
    const { relay, ear } = makeRelay(outbox, new ScriptedPublisher(), { limits, clock });
    await relay.start();
    await ear.next("polled");
    const transaction = outbox.begin();
    await transaction.insert({});
    // The one that is under way may have looked before.
    await ear.next("polled");
    pauses.length = 0;
    for (let polls = 0; polls < 8; polls += 1) await ear.next("polled");
    const between = pauses.filter((ms) => ms > 6 && ms <= 7).length;
    expect(between).toBeGreaterThanOrEqual(5);
    expect(between).toBeLessThanOrEqual(7);
    await transaction.commit();
    await ear.until(isEmpty(outbox));
    await relay.stop();
  });

  it("keeps its pauses short in a stream of events, and lets them grow behind it", async () => {
    const outbox = new MemoryOutbox();
    const pauses: number[] = [];
    let [nowMs, nextMs] = [0, 4];
    let isStreaming = true;
    let hasGrown = () => {};
    // Time passes while somebody sleeps, and only then; every fourth millisecond brings an event.
    const clock: Clock = {
      ...systemClock,
      monotonicMs: () => nowMs,
      sleep: async (ms) => {
        pauses.push(ms);
        if (ms > 4) hasGrown();
        nowMs += ms;
        for (; isStreaming && nextMs <= nowMs; nextMs += 4) await outbox.write({});
        await new Promise(setImmediate);
      },
    };
    const limits = { pollMinMs: 1, pollMaxMs: 60_000 };
    const { relay, ear } = makeRelay(outbox, new ScriptedPublisher(), { limits, clock });
    await relay.start();
    await ear.until(() => nowMs > 100);
    pauses.length = 0;
    await ear.until(() => nowMs > 300);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(1);
    await new Promise<void>((resolve) => {
      hasGrown = resolve;
      isStreaming = false;
    });
    await relay.stop();
  });

  it("lets nothing overtake an event that was left out for want of trust", async () => {
    const outbox = new MemoryOutbox();
    const publisher = new ScriptedPublisher();
    const all = new Set(allShards);
    let lapses = 0;
    const shards = {
      start: async () => undefined,
      stop: async () => undefined,
      // The keeper notices nothing: the lease was renewed before anybody asked.
      claimable: () => all,
      termOf: () => "1",
      mayPublish: () => {
        lapses -= 1;
        return lapses < 0;
      },
      handBackDrained: async () => undefined,
    };
    const { relay, ear, announcements } = makeRelay(outbox, publisher, {
      shards,
      limits: { batchEventsMax: 2 },
    });
    publisher.unansweredCalls = 1;
    await outbox.write({}, {}, {}, {}, {}, {});
    announcements.subscribe(({ type }) => {
      // The repetition of the first batch falls into a lapse; the second batch does not.
      if (type === "broker-lost") lapses = 1;
    });
    await relay.start();
    await ear.until(isEmpty(outbox));
    await relay.stop();
    expect(lapses).toBeLessThan(0);
    const firsts = [...new Set(publisher.published.map(({ seq }) => Number(seq)))];
    expect(firsts).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("ends for a send that is stuck, also when nothing else is to be sent", () =>
    onStage(async ({ relay, outbox, publisher }) => {
      publisher.publish = async () => {
        throw new OutriderError("PUBLISH_STUCK", "stuck");
      };
      await outbox.write({});
      await relay.start();
      await expect(relay.finished()).rejects.toMatchObject({ code: "PUBLISH_STUCK" });
    }));

  it("publishes what stands before an event that cannot be translated, and only then blocks", () =>
    onStage(async ({ relay, ear, outbox, publishedSeqs }) => {
      await outbox.write(
        { aggregateId: "a" },
        { aggregateId: "a", topic: "not a topic" },
        { aggregateId: "a" },
      );
      await relay.start();
      await ear.next("aggregate-blocked");
      await ear.until(() => outbox.remaining.length === 2);
      expect(publishedSeqs()).toEqual([1]);
      expect(outbox.remaining.map(({ seq }) => seq)).toEqual(["2", "3"]);
    }));
});
