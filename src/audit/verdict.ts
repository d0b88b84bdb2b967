/**
 * What the findings of an audit mean. Pure.
 *
 *     fault   a promise is broken, or something waits that should not     → the exit code says so
 *     open    nobody could judge it: the audit has to read further        → an exit code of its own
 *     note    allowed by the promises, or a circumstance that explains    → none
 */
import type { ErrorCode } from "../foundation/errors.ts";
import type { AuditFindings } from "./audit.ts";
import type { Example } from "./partition-judge.ts";

export interface Tolerance {
  /** More duplicates than this are a fault; null: they are allowed, as at-least-once allows them. */
  readonly duplicatesMax: number | null;
  /** Whether records without event_id or created_at may be there, written by somebody else. */
  readonly isForeignAllowed: boolean;
}

export interface Finding {
  readonly kind: string;
  readonly level: "fault" | "open" | "note";
  /** Null for a note. */
  readonly code: ErrorCode | null;
  readonly count: number;
  readonly sentence: string;
  readonly examples: readonly Example[];
}

export interface AuditVerdict {
  readonly isClean: boolean;
  /** Of the gravest finding; null when there is no fault and nothing open. */
  readonly code: ErrorCode | null;
  /** The gravest first; those with a count of 0 are left out. */
  readonly findings: readonly Finding[];
}

type Grade = Pick<Finding, "level" | "code">;

const broken: Grade = { level: "fault", code: "PROMISE_BROKEN" };
const foreign: Grade = { level: "fault", code: "TOPIC_FOREIGN" };
const stale: Grade = { level: "fault", code: "OUTBOX_STALE" };
const open: Grade = { level: "open", code: "AUDIT_INCONCLUSIVE" };
const note: Grade = { level: "note", code: null };

export function judgeAudit(audit: AuditFindings, tolerance: Tolerance): AuditVerdict {
  const findings = [...graveFindings(audit, tolerance), ...waitingFindings(audit), ...notes(audit)];
  const present = findings.filter(({ count }) => count > 0);
  const code = present.find((finding) => finding.code !== null)?.code ?? null;
  return { isClean: code === null, code, findings: present };
}

function finding(
  kind: string,
  grade: Grade,
  count: number,
  sentence: string,
  examples: readonly Example[] = [],
): Finding {
  return { kind, ...grade, count, sentence, examples };
}

const sum = (audit: AuditFindings, of: (topic: AuditFindings["topics"][number]) => number) =>
  audit.topics.reduce((total, topic) => total + of(topic), 0);

function graveFindings(audit: AuditFindings, { duplicatesMax, isForeignAllowed }: Tolerance): Finding[] {
  const { custody, topics } = audit;
  const duplicates = sum(audit, (topic) => topic.duplicates);
  const inversions = topics.flatMap(({ examples }) => examples.inversions);
  const split = topics.flatMap(({ examples }) => examples.split);
  const unidentified = topics.flatMap(({ examples }) => examples.unidentified);
  const isTooMany = duplicatesMax !== null && duplicates > duplicatesMax;
  return [
    finding(
      "missing",
      broken,
      custody.missing,
      "row(s) left the outbox and are neither in their topic nor a dead letter: deleted without having been published",
      custody.examples.missing,
    ),
    finding(
      "out-of-order",
      broken,
      sum(audit, (topic) => topic.inversions),
      "event(s) occur for the first time behind a later one of their aggregate; `late-events` in the relay's log would explain them",
      inversions,
    ),
    finding(
      "split",
      broken,
      sum(audit, (topic) => topic.split),
      "aggregate(s) in two partitions: they have no order there (was the topic grown before the outbox was drained?)",
      split,
    ),
    finding(
      "duplicates",
      isTooMany ? broken : note,
      duplicates,
      isTooMany
        ? `duplicate(s), more than the ${duplicatesMax} allowed`
        : "duplicate(s); at-least-once allows them",
      worstOf(audit),
    ),
    finding(
      "foreign",
      isForeignAllowed ? note : foreign,
      sum(audit, (topic) => topic.unidentified),
      "record(s) without key, event_id or created_at: not written by Outrider",
      unidentified,
    ),
  ].sort((a, b) => Number(b.code !== null) - Number(a.code !== null));
}

function worstOf({ topics }: AuditFindings): Example[] {
  return topics.flatMap(({ topic, worst }) => worst.map(({ aggregateId }) => ({ topic, aggregateId })));
}

function waitingFindings({ custody, standing, hidden }: AuditFindings): Finding[] {
  return [
    finding(
      "lingering",
      stale,
      custody.lingering,
      "row(s) were published before this audit and are still in the outbox: no relay removes them, and they will be published again",
      custody.examples.lingering,
    ),
    finding(
      "stale",
      stale,
      standing.stale,
      "row(s) wait for longer than --age-max; `outrider status` and `outrider blocked` say why",
    ),
    finding(
      "unproven",
      open,
      custody.unproven,
      "row(s) left the outbox and were not found, but their topic was not read far enough to call them missing: raise --messages-max",
      custody.examples.unproven,
    ),
    finding(
      "hidden",
      open,
      hidden,
      "partition(s) end behind an open transaction: run it again, or with --isolation read_uncommitted",
    ),
  ];
}

function notes(audit: AuditFindings): Finding[] {
  const { standing, custody, topics, unread, grown } = audit;
  return [
    finding(
      "undecided",
      note,
      sum(audit, (topic) => topic.undecided),
      "event(s) may be out of order or replays of what lies before the records that were read",
      topics.flatMap(({ examples }) => examples.undecided),
    ),
    finding(
      "ties",
      note,
      sum(audit, (topic) => topic.ties),
      "event(s) share their created_at: not judged, no record carries seq",
    ),
    finding(
      "misplaced",
      note,
      sum(audit, (topic) => topic.misplaced),
      "record(s) are not in the partition that their key has now: the topic was grown, or somebody else wrote them",
    ),
    finding(
      "blocked",
      note,
      standing.blocked,
      "aggregate(s) wait behind a rejected event: `outrider blocked`",
    ),
    finding("dead-letters", note, standing.deadLetters, "dead letter(s): `outrider dead-letters list`"),
    finding("unread", note, unread.length, `topic(s) of waiting rows were not audited: ${unread.join(", ")}`),
    finding(
      "grown",
      note,
      grown.length,
      `topic(s) changed their partition count meanwhile: ${grown.join(", ")}`,
    ),
    finding(
      "idle",
      note,
      custody.judged + sum(audit, (topic) => topic.records) === 0 ? 1 : 0,
      "time: nothing waited and nothing was in the topics, so nothing could be judged",
    ),
  ];
}
