/** What is acked while a removal is under way goes with the next one, and never more than a batch waits. */
import { beforeEach, describe, expect, it } from "vitest";
import { acknowledge } from "../../../src/event/acknowledgement.ts";
import type { Ack } from "../../../src/event/delivery.ts";
import { OutriderError } from "../../../src/foundation/errors.ts";
import { Announcements } from "../../../src/relay/announcements.ts";
import { Outage } from "../../../src/relay/outage.ts";
import { Removals } from "../../../src/relay/removals.ts";
import { type ManualClock, manualClock } from "../../support/clock.ts";
import { anEvent } from "../../support/events.ts";
import { MemoryOutbox } from "../../support/memory-outbox.ts";
import { testLimits } from "../../support/running-relay.ts";

/** Each statement is answered when the test says so. */
class SlowOutbox extends MemoryOutbox {
  readonly statements: { readonly seqs: readonly string[]; answer(error?: Error): void }[] = [];

  override remove(acks: readonly Ack[]): Promise<number> {
    return new Promise((resolve, reject) => {
      const answer = (error?: Error) => (error === undefined ? resolve(acks.length) : reject(error));
      this.statements.push({ seqs: acks.map(({ eventId }) => String(Number(eventId.slice(-12)))), answer });
    });
  }
}

const acks = (seqs: string, payloadBytes = 1): readonly Ack[] =>
  seqs.split(" ").map((seq) => acknowledge(anEvent({ seq, payloadBytes })));

/** Every promise that can settle has settled. */
const quiet = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("removals", () => {
  let outbox: SlowOutbox;
  let removals: Removals;
  let clock: ManualClock;
  const isDone = async (promise: Promise<void>) => {
    let isSettled = false;
    const note = () => {
      isSettled = true;
    };
    promise.then(note, note);
    await quiet();
    return isSettled;
  };

  beforeEach(() => {
    outbox = new SlowOutbox();
    clock = manualClock();
    const parts = { clock, random: () => 0, announcements: new Announcements() };
    const bounds = { batchEventsMax: 3, batchBytesMax: 100 };
    const outage = new Outage("outbox", parts, testLimits);
    removals = new Removals({ ...parts, outbox, bounds }, outage, new AbortController().signal);
  });

  const answer = async (at: number, error?: Error) => {
    outbox.statements[at]?.answer(error);
    await quiet();
  };

  const seqs = () => outbox.statements.map((statement) => statement.seqs);

  it("deletes at once, and then together what was acked meanwhile", async () => {
    await removals.add(acks("1"));
    await removals.add(acks("2"));
    await removals.add(acks("3"));
    await clock.advance(1_000);
    expect(seqs()).toEqual([["1"]]);
    await answer(0);
    expect(seqs()).toEqual([["1"], ["2", "3"]]);
    const settled = removals.settle();
    expect(await isDone(settled)).toBe(false);
    await answer(1);
    await settled;
    expect(removals.removedTotal).toBe(3);
  });

  it("lets a stream gather between one statement and the next, and nobody who comes later", async () => {
    await removals.add(acks("1"));
    await answer(0);
    await removals.add(acks("2"));
    await clock.advance(9);
    await removals.add(acks("3"));
    expect(seqs()).toEqual([["1"]]);
    await clock.advance(1);
    expect(seqs()).toEqual([["1"], ["2", "3"]]);
    await answer(1);
    await clock.advance(10);
    await removals.add(acks("4"));
    expect(seqs()).toEqual([["1"], ["2", "3"], ["4"]]);
  });

  it("gathers no longer once somebody waits for what was acked, or once it is more than one batch may have", async () => {
    await removals.add(acks("1"));
    await answer(0);
    await removals.add(acks("2"));
    const settled = removals.settle();
    await quiet();
    expect(seqs()).toEqual([["1"], ["2"]]);
    await answer(1);
    await settled;
    await removals.add(acks("3"));
    const full = removals.add(acks("4 5 6"));
    await quiet();
    expect(seqs().at(-1)).toEqual(["3", "4", "5", "6"]);
    await answer(2);
    expect(await isDone(full)).toBe(true);
  });

  it("keeps the next batch back while more is acked and not deleted than one batch may have", async () => {
    await removals.add(acks("1 2"));
    const full = removals.add(acks("3 4"));
    expect(await isDone(full)).toBe(false);
    await answer(0);
    expect(await isDone(full)).toBe(true);
    await clock.advance(10);
    expect(outbox.statements.at(-1)?.seqs).toEqual(["3", "4"]);
  });

  it("counts what went together: it is waited for until no more is left than one batch may have", async () => {
    await removals.add(acks("1"));
    await removals.add(acks("2 3"));
    const full = removals.add(acks("4 5"));
    await answer(0);
    expect(outbox.statements.at(-1)?.seqs).toEqual(["2", "3", "4", "5"]);
    expect(await isDone(full)).toBe(false);
    await answer(1);
    expect(await isDone(full)).toBe(true);
  });

  it("counts bytes, too, but lets one batch be as large as it is", async () => {
    expect(await isDone(removals.add(acks("1", 1_000)))).toBe(true);
    const full = removals.add(acks("2"));
    expect(await isDone(full)).toBe(false);
    await answer(0);
    expect(await isDone(full)).toBe(true);
  });

  it("tells whoever comes next of a fault of its own, and whoever waits", async () => {
    const fault = new OutriderError("INVARIANT", "a bug");
    await removals.add(acks("1"));
    await answer(0, fault);
    await expect(removals.add(acks("2"))).rejects.toBe(fault);
    await expect(removals.settle()).rejects.toBe(fault);
  });
});
