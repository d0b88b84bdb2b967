/** Verdicts in the whole loop, over the model of PostgreSQL: what blocks, what is given up, what is remembered. */
import { describe, expect, it } from "vitest";
import { moveAll } from "../../../src/outbox/dead-letter-channel.ts";
import type { RelayLimits } from "../../../src/relay/polling-publisher.ts";
import { verdict } from "../../../src/relay/verdict.ts";
import { MemoryDeadLetters } from "../../support/memory-dead-letters.ts";
import { MemoryOutbox } from "../../support/memory-outbox.ts";
import type { Fate } from "../../support/memory-publisher.ts";
import { MemoryPublisher } from "../../support/memory-publisher.ts";
import { makeRelay, type RunningRelay } from "../../support/running-relay.ts";

const givesUp: Partial<RelayLimits> = {
  rejected: "dead-letter",
  attemptsMax: 3,
  blockRetryMinMs: 1,
  blockRetryMaxMs: 2,
};

class Stage {
  readonly outbox = new MemoryOutbox();
  readonly letters = new MemoryDeadLetters(this.outbox);
  publisher = new MemoryPublisher();
  readonly #running: RunningRelay[] = [];

  /** A relay over the same table; an earlier one must have stopped. */
  relay(limits: Partial<RelayLimits> = {}): RunningRelay {
    const { fateOf } = this.publisher;
    this.#before.push(...this.publisher.written.map(({ event }) => Number(event.seq)));
    this.publisher = new MemoryPublisher();
    this.publisher.fateOf = fateOf;
    const running = makeRelay(this.outbox, this.publisher, { limits, ledger: this.letters });
    this.#running.push(running);
    return running;
  }

  readonly #before: number[] = [];

  /** Of all relays, in order. */
  get publishedSeqs(): number[] {
    return [...this.#before, ...this.publisher.written.map(({ event }) => Number(event.seq))];
  }

  refuse(seqs: readonly number[], fate: Fate = "broker-refused"): void {
    this.publisher.fateOf = ({ event }) => (seqs.includes(Number(event.seq)) ? fate : "ack");
  }

  async end(): Promise<void> {
    for (const { relay } of this.#running) await relay.stop();
  }
}

async function onStage(work: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = new Stage();
  try {
    await work(stage);
  } finally {
    await stage.end();
  }
}

const isEmpty = (outbox: MemoryOutbox) => () => outbox.remaining.length === 0;

describe("verdict", () => {
  it("gives up only under the policy, and only at the limit", () => {
    const policy = { blockRetryMinMs: 1, blockRetryMaxMs: 1, attemptsMax: 3 };
    expect(verdict(1_000_000, { ...policy, rejected: "block" })).toBe("retry");
    expect(verdict(2, { ...policy, rejected: "dead-letter" })).toBe("retry");
    expect(verdict(3, { ...policy, rejected: "dead-letter" })).toBe("dead-letter");
  });
});

describe("policy dead-letter", () => {
  it("moves an event aside after so many rejections, and its aggregate goes on in order", () =>
    onStage(async (stage) => {
      const { outbox, letters } = stage;
      stage.refuse([2]);
      await outbox.write(
        { aggregateId: "a" },
        { aggregateId: "a" },
        { aggregateId: "a" },
        { aggregateId: "b" },
      );
      const { relay, ear } = stage.relay(givesUp);
      await relay.start();
      const said = await ear.next("event-dead-lettered");
      expect(said).toMatchObject({ aggregateId: "a", reason: "broker-refused", attempts: 3 });
      await ear.until(isEmpty(outbox));
      expect(stage.publishedSeqs.filter((seq) => seq !== 4)).toEqual([1, 3]);
      expect([...letters.letters.values()].map(({ event }) => event.seq)).toEqual(["2"]);
      expect(ear.all("aggregate-blocked").map(({ attempts }) => attempts)).toEqual([1, 2, 3]);
      expect(ear.all("aggregate-unblocked")).toHaveLength(1);
      expect(letters.blocks.size).toBe(0);
    }));

  it("gives up at the first rejection when told so, also an event that cannot be translated", () =>
    onStage(async (stage) => {
      await stage.outbox.write({ aggregateId: "a", topic: "no topic" }, { aggregateId: "a" });
      const { relay, ear } = stage.relay({ ...givesUp, attemptsMax: 1 });
      await relay.start();
      await ear.until(isEmpty(stage.outbox));
      expect(stage.publishedSeqs).toEqual([2]);
      expect(ear.all("event-dead-lettered")).toMatchObject([{ reason: "topic-invalid", attempts: 1 }]);
    }));

  it("never gives an event up because the broker is away or does not answer", () =>
    onStage(async (stage) => {
      const { outbox, letters } = stage;
      await outbox.write({ aggregateId: "a" }, { aggregateId: "b" });
      const { relay, ear } = stage.relay({ ...givesUp, attemptsMax: 1 });
      stage.refuse([1, 2], "unknown");
      await relay.start();
      const tries = () => ear.all("batch-published").length;
      await ear.until(() => tries() > 5);
      stage.publisher.isReachable = false;
      const before = tries();
      await ear.until(() => tries() > before + 5);
      stage.publisher.isReachable = true;
      stage.refuse([]);
      await ear.until(isEmpty(outbox));
      expect(letters.letters.size).toBe(0);
      expect(ear.all("aggregate-blocked")).toEqual([]);
      expect(stage.publishedSeqs).toEqual([1, 2]);
    }));

  it("tries the move again when PostgreSQL was away, and loses and doubles nothing", () =>
    onStage(async (stage) => {
      const { outbox, letters } = stage;
      stage.refuse([1]);
      const { relay, ear, announcements } = stage.relay(givesUp);
      announcements.subscribe(({ type }) => {
        if (type === "aggregate-blocked") letters.isAway = true;
        if (type === "outbox-lost") letters.isAway = false;
      });
      await outbox.write({ aggregateId: "a" }, { aggregateId: "a" });
      await relay.start();
      await ear.until(isEmpty(outbox));
      expect(ear.all("outbox-lost").length).toBeGreaterThan(0);
      expect(stage.publishedSeqs).toEqual([2]);
      expect(letters.letters.size).toBe(1);
    }));

  it("publishes a redriven event, once, behind what was written since", () =>
    onStage(async (stage) => {
      const { outbox, letters } = stage;
      stage.refuse([1]);
      const [id] = await outbox.write({ aggregateId: "a" }, { aggregateId: "a" });
      const { relay, ear } = stage.relay(givesUp);
      await relay.start();
      await ear.until(isEmpty(outbox));
      stage.refuse([]);
      expect(await moveAll(letters, "redrive", { aggregateId: "a" }, 10)).toEqual({ moved: 1, left: 0 });
      await ear.until(isEmpty(outbox));
      expect(stage.publisher.written.map(({ event }) => event.eventId).at(-1)).toBe(id);
      expect(stage.publisher.written).toHaveLength(2);
    }));
});

describe("what is written down about a block", () => {
  it("goes on counting after a restart", () =>
    onStage(async (stage) => {
      const { outbox, letters } = stage;
      stage.refuse([1]);
      await outbox.write({ aggregateId: "a" });
      const limits = { ...givesUp, attemptsMax: 4, blockRetryMaxMs: 60_000, blockRetryMinMs: 60_000 };
      for (const attempts of [1, 2, 3]) {
        const { relay, ear } = stage.relay(limits);
        const blocked = ear.next("aggregate-blocked");
        await relay.start();
        expect(await blocked).toMatchObject({ attempts });
        await relay.stop();
      }
      const { relay, ear } = stage.relay(limits);
      const given = ear.next("event-dead-lettered");
      await relay.start();
      expect(await given).toMatchObject({ attempts: 4 });
      await ear.until(() => letters.letters.size === 1);
    }));

  it("never lets a relay that takes over pass what stands before the blocked event", () =>
    onStage(async (stage) => {
      const { outbox, letters } = stage;
      stage.refuse([2]);
      await outbox.write({ aggregateId: "a" }, { aggregateId: "a" }, { aggregateId: "a" });
      const second = outbox.remaining.find(({ seq }) => seq === "2");
      if (second === undefined) throw new Error("it was written");
      // As a relay leaves it that died between the ack of the first event and its removal.
      const { eventId, aggregateId, shard, createdAt, seq } = second;
      const reason = "broker-refused" as const;
      await letters.remember([
        { eventId, aggregateId, shard, createdAt, seq, reason, message: "m", attempts: 5 },
      ]);
      const { relay, ear } = stage.relay({ blockRetryMinMs: 1, blockRetryMaxMs: 2 });
      const blocked = ear.next("aggregate-blocked");
      await relay.start();
      expect(await blocked).toMatchObject({ attempts: 6 });
      stage.refuse([]);
      await ear.until(isEmpty(outbox));
      expect(stage.publishedSeqs).toEqual([1, 2, 3]);
    }));

  it("disappears when the event is accepted, and when somebody deletes it", () =>
    onStage(async (stage) => {
      const { outbox, letters } = stage;
      stage.refuse([1, 2]);
      const [, second] = await outbox.write({ aggregateId: "a" }, { aggregateId: "b" });
      const { relay, ear } = stage.relay({ blockRetryMinMs: 1, blockRetryMaxMs: 2 });
      await relay.start();
      await ear.until(() => letters.blocks.size === 2);
      outbox.take(second ?? "");
      await ear.next("aggregate-unblocked", ({ aggregateId }) => aggregateId === "b");
      const accepted = ear.next("aggregate-unblocked");
      stage.refuse([]);
      await accepted;
      await relay.stop();
      expect(letters.blocks.size).toBe(0);
    }));

  it("disappears at a sweep when the event was accepted by a relay that only remembered it", () =>
    onStage(async (stage) => {
      const { outbox, letters } = stage;
      stage.refuse([1]);
      await outbox.write({ aggregateId: "a" });
      const first = stage.relay({ blockRetryMinMs: 60_000, blockRetryMaxMs: 60_000 });
      const blocked = first.ear.next("aggregate-blocked");
      await first.relay.start();
      await blocked;
      await first.relay.stop();
      expect(letters.blocks.size).toBe(1);
      stage.refuse([]);
      const { relay, ear } = stage.relay();
      await relay.start();
      await ear.until(isEmpty(outbox));
      const swept = ear.next("swept");
      relay.sweepSoon();
      await swept;
      await relay.stop();
      expect(letters.blocks.size).toBe(0);
    }));
});

describe("order around a block", () => {
  it("publishes what stands before an event that cannot be translated, in the same batch", () =>
    onStage(async (stage) => {
      const { outbox } = stage;
      await outbox.write({ aggregateId: "a" }, { aggregateId: "a", topic: "no topic" }, { aggregateId: "a" });
      const { relay, ear } = stage.relay(givesUp);
      await relay.start();
      await ear.until(isEmpty(outbox));
      expect(stage.publishedSeqs).toEqual([1, 3]);
    }));

  it("does not let an event pass the fence because the blocked one before it was deleted", () =>
    onStage(async (stage) => {
      const { outbox } = stage;
      stage.refuse([1]);
      const [first] = await outbox.write({ aggregateId: "a" });
      const { relay, ear } = stage.relay({ blockRetryMinMs: 1, blockRetryMaxMs: 2 });
      await relay.start();
      await ear.next("aggregate-blocked");
      const slow = outbox.begin();
      await slow.insert({ aggregateId: "a" });
      await outbox.write({ aggregateId: "a" });
      const unblocked = ear.next("aggregate-unblocked");
      outbox.take(first ?? "");
      await unblocked;
      await ear.next("polled");
      await ear.next("polled");
      expect(stage.publishedSeqs).toEqual([]);
      await slow.commit();
      await ear.until(isEmpty(outbox));
      expect(stage.publishedSeqs).toEqual([2, 3]);
    }));
});
