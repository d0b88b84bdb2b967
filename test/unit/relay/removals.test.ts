/** What is acked while a removal is under way goes with the next one, and never more than a batch waits. */
import { beforeEach, describe, expect, it } from "vitest";
import { acknowledge } from "../../../src/event/acknowledgement.ts";
import type { Ack } from "../../../src/event/delivery.ts";
import { OutriderError } from "../../../src/foundation/errors.ts";
import { Announcements } from "../../../src/relay/announcements.ts";
import { Outage } from "../../../src/relay/outage.ts";
import { Removals } from "../../../src/relay/removals.ts";
import { manualClock } from "../../support/clock.ts";
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
    const parts = { clock: manualClock(), random: () => 0, announcements: new Announcements() };
    const bounds = { batchEventsMax: 3, batchBytesMax: 100 };
    const outage = new Outage("outbox", parts, testLimits);
    removals = new Removals({ ...parts, outbox, bounds }, outage, new AbortController().signal);
  });

  const answer = async (at: number, error?: Error) => {
    outbox.statements[at]?.answer(error);
    await quiet();
  };

  it("deletes at once, and then together what was acked meanwhile", async () => {
    await removals.add(acks("1"));
    await removals.add(acks("2"));
    await removals.add(acks("3"));
    expect(outbox.statements.map(({ seqs }) => seqs)).toEqual([["1"]]);
    await answer(0);
    expect(outbox.statements.map(({ seqs }) => seqs)).toEqual([["1"], ["2", "3"]]);
    const settled = removals.settle();
    expect(await isDone(settled)).toBe(false);
    await answer(1);
    await settled;
    expect(removals.removedTotal).toBe(3);
  });

  it("keeps the next batch back while more is acked and not deleted than one batch may have", async () => {
    await removals.add(acks("1 2"));
    const full = removals.add(acks("3 4"));
    expect(await isDone(full)).toBe(false);
    await answer(0);
    expect(await isDone(full)).toBe(true);
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
