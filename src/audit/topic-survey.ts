/**
 * Reads the end of each audited topic and has it judged: by `partition-judge.ts` for order and
 * duplicates, and against the rows that left the outbox.
 */
import { microsOfIso } from "../event/position.ts";
import type { Isolation, PartitionBounds, TopicReader, TopicRecord } from "../publisher/topic-reader.ts";
import type { Found, SeenRow } from "./custody.ts";
import { type PartitionFindings, PartitionJudge } from "./partition-judge.ts";
import { mergePartitions, type TopicFindings } from "./topic-findings.ts";

/**
 * Topics that stamp records by the broker's clock stamp them after created_at, unless that clock is
 * behind the database's; so far it may be.
 */
const clockSkewMsMax = 60_000;

export interface SurveyChoices {
  readonly isolation: Isolation;
  /** Most records to judge of each partition. */
  readonly messagesMax: number;
  /** Milliseconds since 1970; records with an older timestamp are not judged. Null: only the bound counts. */
  readonly sinceMs: number | null;
  /** How long to wait for open transactions that hide the end of a partition. */
  readonly waitMsMax: number;
}

export interface Survey {
  readonly findings: TopicFindings;
  /** Partitions whose end an open transaction hid. */
  readonly hidden: number;
  /** From which instant on the topic was read without a gap, in microseconds; what is older may be unread. */
  isCovered(row: SeenRow): boolean;
}

export interface SurveyRequest {
  readonly topic: string;
  /** The ends when the audit began, by partition; what lies below was published by then. */
  readonly earlyEnds: ReadonlyMap<number, number>;
  /** Rows that are to be looked for. */
  readonly wanted: ReadonlySet<string>;
  /** The oldest created_at of rows that left the outbox, in microseconds; null when none did. */
  readonly neededFrom: number | null;
  /** What is found of `wanted` is put in here. */
  readonly found: Map<string, Found>;
}

export async function surveyTopic(
  reader: TopicReader,
  choices: SurveyChoices,
  request: SurveyRequest,
): Promise<Survey> {
  const { topic, neededFrom } = request;
  const bounds = await reader.bounds(topic);
  const since = choices.sinceMs === null ? undefined : await reader.offsetsAt(topic, choices.sinceMs);
  const neededMs = neededFrom === null ? null : Math.max(0, neededFrom / 1000 - clockSkewMsMax);
  const needed = neededMs === null ? undefined : await reader.offsetsAt(topic, neededMs);
  const parts = new Map<number, PartitionFindings>();
  let hidden = 0;
  let isShort = false;
  for (const bound of bounds) {
    const { partition, low, end } = bound;
    const bottom = Math.max(low, end - choices.messagesMax);
    const judgedFrom =
      since === undefined ? bottom : Math.max(bottom, Math.min(end, since.get(partition) ?? end));
    const first = needed?.get(partition) ?? end;
    const from = Math.max(bottom, Math.min(judgedFrom, first));
    if (first < from) isShort = true;
    const read = await readPartition(reader, choices, request, {
      bound,
      judgedFrom,
      from,
      count: bounds.length,
    });
    if (read.next < end) hidden += 1;
    parts.set(partition, read.findings);
  }
  return {
    findings: mergePartitions(topic, bounds.length, parts),
    hidden,
    isCovered: () => !isShort && hidden === 0,
  };
}

interface PartitionReading {
  readonly bound: PartitionBounds;
  readonly judgedFrom: number;
  readonly from: number;
  /** Partitions of the topic. */
  readonly count: number;
}

/** Reads a second time, from further back, where that may decide what the first reading could not. */
async function readPartition(
  reader: TopicReader,
  choices: SurveyChoices,
  request: SurveyRequest,
  reading: PartitionReading,
): Promise<{ findings: PartitionFindings; next: number }> {
  const { bound, from } = reading;
  const first = await readOnce(reader, choices, request, reading);
  if (first.findings.undecided === 0 || from <= bound.low) return first;
  const further = Math.max(bound.low, from - choices.messagesMax);
  return readOnce(reader, choices, request, { ...reading, from: further });
}

async function readOnce(
  reader: TopicReader,
  { isolation, waitMsMax }: SurveyChoices,
  { topic, earlyEnds, wanted, found }: SurveyRequest,
  { bound: { partition, end }, judgedFrom, from, count }: PartitionReading,
): Promise<{ findings: PartitionFindings; next: number }> {
  const homeOf = (key: string) => reader.partitionOf(key, count);
  const judge = new PartitionJudge({ topic, partition, judgedFrom, isWhole: from === 0, homeOf });
  const earlyEnd = earlyEnds.get(partition) ?? 0;
  const take = (record: TopicRecord) => {
    judge.take(record);
    const { eventId, createdAt, offset } = record;
    if (eventId === null || createdAt === null || !wanted.has(eventId) || found.has(eventId)) return;
    found.set(eventId, { createdAt, isEarly: offset < earlyEnd });
  };
  const next = await reader.read({ topic, partition, from, to: end }, isolation, waitMsMax, take);
  return { findings: judge.findings(), next };
}

/** The oldest created_at of these rows, in microseconds; one that is no instant counts as the oldest of all. */
export function oldestOf(rows: readonly SeenRow[]): number | null {
  if (rows.length === 0) return null;
  return rows.reduce((oldest, { createdAt }) => {
    const at = microsOfIso(createdAt);
    return Number.isFinite(at) ? Math.min(oldest, at) : 0;
  }, Number.MAX_SAFE_INTEGER);
}
