import { describe, expect, it } from "vitest";
import { Auditor, type CommittedEvent, type ReceivedEvent } from "../../../src/cli/demo/auditor.ts";

function committed(eventId: string, seq: number, changes: Partial<CommittedEvent> = {}): CommittedEvent {
  return {
    eventId,
    aggregateId: "a",
    createdAtMicros: 1_000 + seq,
    seq,
    payloadDigest: 7,
    envelopeDigest: 8,
    ...changes,
  };
}

function received(event: CommittedEvent, changes: Partial<ReceivedEvent> = {}): ReceivedEvent {
  const { eventId, createdAtMicros, payloadDigest, envelopeDigest, aggregateId } = event;
  return {
    eventId,
    key: aggregateId,
    createdAtMicros,
    payloadDigest,
    envelopeDigest,
    partition: "t/0",
    ...changes,
  };
}

const clean = {
  missing: 0,
  phantom: 0,
  inversions: 0,
  duplicates: 0,
  corrupted: 0,
  misaddressed: 0,
  split: 0,
};
const [e1, e2, e3] = [committed("e1", 1), committed("e2", 2), committed("e3", 3)];

/** An auditor that was told of these commits, then of these receipts. */
function audited(commits: readonly CommittedEvent[], receipts: readonly ReceivedEvent[]) {
  const auditor = new Auditor();
  for (const event of commits) auditor.commit(event, 100);
  for (const event of receipts) auditor.receive(event, 110);
  return auditor.audit();
}

describe("the auditor", () => {
  it("finds nothing wrong with a faithful delivery", () => {
    const audit = audited([e1, e2, e3], [received(e1), received(e2), received(e3)]);
    expect(audit).toMatchObject({ ...clean, committed: 3, published: 3, examples: {} });
    expect(audit.latencyMs.max).toBe(10);
  });

  it("finds nothing wrong when receipts overtake the news of their commits", () => {
    const auditor = new Auditor();
    auditor.receive(received(e1), 10);
    auditor.commit(e1, 11);
    auditor.commit(e2, 12);
    auditor.receive(received(e2), 13);
    expect(auditor.audit()).toMatchObject({ ...clean, committed: 2, published: 2 });
  });

  it("catches a missing event", () => {
    const audit = audited([e1, e2], [received(e1)]);
    expect(audit).toMatchObject({ ...clean, missing: 1, examples: { missing: "e2" } });
  });

  it("catches a phantom, however often it comes", () => {
    const audit = audited([e1], [received(e1), received(e2), received(e2)]);
    expect(audit).toMatchObject({ ...clean, phantom: 1, duplicates: 1, examples: { phantom: "e2" } });
  });

  it("catches an inversion within an aggregate", () => {
    const audit = audited([e1, e2, e3], [received(e2), received(e1), received(e3)]);
    expect(audit).toMatchObject({ ...clean, inversions: 1, examples: { inversions: "e1" } });
  });

  it("catches an inversion among receipts that overtook the news of their commits", () => {
    const auditor = new Auditor();
    auditor.receive(received(e2), 1);
    auditor.receive(received(e1), 1);
    auditor.commit(e1, 2);
    auditor.commit(e2, 2);
    expect(auditor.audit()).toMatchObject({ ...clean, inversions: 1 });
  });

  it("breaks ties of created_at by seq", () => {
    const tied = committed("tied", 9, { createdAtMicros: e1.createdAtMicros });
    expect(audited([e1, tied], [received(e1), received(tied)]).inversions).toBe(0);
    expect(audited([e1, tied], [received(tied), received(e1)]).inversions).toBe(1);
  });

  it("asks for no order between aggregates", () => {
    const other = committed("other", 1, { aggregateId: "b" });
    const audit = audited([other, e2], [received(e2), received(other, { partition: "t/1" })]);
    expect(audit).toMatchObject(clean);
  });

  it("counts a duplicate, and holds only first receipts to the order", () => {
    const audit = audited([e1, e2], [received(e1), received(e2), received(e1), received(e2)]);
    expect(audit).toMatchObject({ ...clean, duplicates: 2, published: 2 });
  });

  it("catches a payload that is not the stored one, in a duplicate too", () => {
    const audit = audited([e1], [received(e1), received(e1, { payloadDigest: 6 })]);
    expect(audit).toMatchObject({ ...clean, duplicates: 1, corrupted: 1, examples: { corrupted: "e1" } });
  });

  it.each([
    ["a wrong key", { key: "b" }],
    ["a created_at header that is not the row's", { createdAtMicros: 1 }],
    ["a created_at header that is no time", { createdAtMicros: Number.NaN }],
    ["a wrong topic, type or header", { envelopeDigest: 9 }],
  ])("catches %s", (_, changes) => {
    const audit = audited([e1], [received(e1, changes)]);
    expect(audit).toMatchObject({ ...clean, misaddressed: 1, examples: { misaddressed: "e1" } });
  });

  it("catches the key of another known aggregate", () => {
    const other = committed("other", 1, { aggregateId: "b" });
    const audit = audited([e1, other], [received(e1, { key: "b" }), received(other)]);
    expect(audit.misaddressed).toBe(1);
  });

  it("catches an aggregate in two partitions", () => {
    const audit = audited([e1, e2], [received(e1), received(e2, { partition: "t/1" })]);
    expect(audit).toMatchObject({ ...clean, split: 1, examples: { split: "e2" } });
  });
});
