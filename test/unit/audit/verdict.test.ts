import { describe, expect, it } from "vitest";
import type { AuditFindings } from "../../../src/audit/audit.ts";
import type { TopicFindings } from "../../../src/audit/topic-findings.ts";
import { judgeAudit, type Tolerance } from "../../../src/audit/verdict.ts";
import { plain } from "../../../src/cli/demo/rendering.ts";
import { auditObject, byHash, byItself, renderAudit } from "../../../src/cli/verify/rendering.ts";

const topic: TopicFindings = {
  topic: "t",
  partitions: 3,
  records: 100,
  aggregates: 7,
  unidentified: 0,
  inversions: 0,
  undecided: 0,
  ties: 0,
  misplaced: 0,
  split: 0,
  duplicates: 0,
  worst: [],
  examples: { unidentified: [], inversions: [], undecided: [], split: [] },
};

function audit(
  more: {
    readonly topic?: Partial<TopicFindings>;
    readonly custody?: Partial<AuditFindings["custody"]>;
    readonly standing?: Partial<AuditFindings["standing"]>;
    readonly hidden?: number;
  } = {},
): AuditFindings {
  const none = { missing: [], unproven: [], lingering: [] };
  return {
    topics: [{ ...topic, ...more.topic }],
    custody: {
      judged: 9,
      published: 9,
      waiting: 0,
      dead: 0,
      missing: 0,
      unproven: 0,
      lingering: 0,
      examples: none,
      ...more.custody,
    },
    standing: {
      waiting: 0,
      isMore: false,
      oldestAgeMs: null,
      stale: 0,
      blocked: 0,
      deadLetters: 0,
      ...more.standing,
    },
    hidden: more.hidden ?? 0,
    unread: [],
    grown: [],
    looks: 3,
    elapsedMs: 1_500,
  };
}

const strict: Tolerance = { duplicatesMax: 0, isForeignAllowed: false };
const usual: Tolerance = { duplicatesMax: null, isForeignAllowed: false };

describe("the verdict", () => {
  it.each([
    ["nothing found", {}, usual, null],
    ["a missing row", { custody: { missing: 1 } }, usual, "PROMISE_BROKEN"],
    ["an inversion", { topic: { inversions: 1 } }, usual, "PROMISE_BROKEN"],
    ["an aggregate in two partitions", { topic: { split: 1 } }, usual, "PROMISE_BROKEN"],
    ["a duplicate, allowed", { topic: { duplicates: 1 } }, usual, null],
    ["a duplicate, not allowed", { topic: { duplicates: 1 } }, strict, "PROMISE_BROKEN"],
    ["a foreign record", { topic: { unidentified: 1 } }, usual, "TOPIC_FOREIGN"],
    ["a foreign record, allowed", { topic: { unidentified: 1 } }, { ...usual, isForeignAllowed: true }, null],
    ["a row that waits too long", { standing: { stale: 1 } }, usual, "OUTBOX_STALE"],
    ["a row that nobody removes", { custody: { lingering: 1 } }, usual, "OUTBOX_STALE"],
    ["a row that may be missing", { custody: { unproven: 1 } }, usual, "AUDIT_INCONCLUSIVE"],
    ["an end that is hidden", { hidden: 1 }, usual, "AUDIT_INCONCLUSIVE"],
    ["blocks and dead letters", { standing: { blocked: 2, deadLetters: 3 } }, usual, null],
    [
      "the gravest of several",
      { custody: { missing: 1, unproven: 1 }, topic: { unidentified: 1 } },
      usual,
      "PROMISE_BROKEN",
    ],
  ])("%s", (_, found, tolerance, code) => {
    const verdict = judgeAudit(audit(found), tolerance);
    expect([verdict.code, verdict.isClean]).toEqual([code, code === null]);
  });

  it("is shown plainly, and names aggregates only where it may", () => {
    const example = { topic: "t", partition: 1, offset: 17, eventId: "e-1", aggregateId: "jane@example.org" };
    const found = audit({ topic: { inversions: 1, examples: { ...topic.examples, inversions: [example] } } });
    const verdict = judgeAudit(found, usual);
    const text = renderAudit(found, verdict, plain, byItself);
    expect(text).toContain("fault  out-of-order: 1 ");
    expect(text).toContain('event e-1, aggregate "jane@example.org", in t/1/17');
    expect(text).toContain("WRONG: PROMISE_BROKEN");
    expect(text).not.toContain("\u001b");
    expect(renderAudit(found, verdict, plain, byHash)).not.toContain("jane");
    expect(JSON.stringify(auditObject(found, verdict, byHash))).not.toContain("jane");
    expect(renderAudit(audit(), judgeAudit(audit(), usual), plain, byItself)).toContain("OK: nothing wrong");
  });
});
