/**
 * Nothing missing, judged where rows are deleted after publishing. Pure.
 *
 * A row that was seen in the outbox was committed. So at the end it must be in the outbox, in the dead
 * letters, or in its topic; and the topic's end is read only after the outbox was asked, because a row
 * is deleted after it was published. A row that is nowhere was deleted without having been published.
 *
 *     seen ──► waiting      still in the outbox        ├─ and in its topic since before the audit: lingering
 *          ├─► dead         moved to the dead letters
 *          ├─► published    in its topic
 *          ├─► missing      nowhere, and its topic was read from before it was created up to its end
 *          └─► unproven     nowhere, but its topic was not read that far
 */
import { microsOfIso } from "../event/position.ts";
import type { Place, WitnessedRow } from "../outbox/witness.ts";
import type { Example } from "./partition-judge.ts";

export interface SeenRow extends WitnessedRow {
  /** Where its topic is, by the settings of this audit. */
  readonly destination: string;
  /** Whether it was there already at the first look. */
  readonly isEarly: boolean;
}

export interface Found {
  /** Whether the record was in the topic when the audit began. */
  readonly isEarly: boolean;
  readonly createdAt: string;
}

export interface CustodyFindings {
  /** Rows that could be judged: all that were seen but those bound for a topic that is not audited. */
  readonly judged: number;
  readonly published: number;
  readonly waiting: number;
  readonly dead: number;
  readonly missing: number;
  readonly unproven: number;
  /** Published before the audit began, and in the outbox at its first and at its last look. */
  readonly lingering: number;
  readonly examples: Readonly<Record<"missing" | "unproven" | "lingering", readonly Example[]>>;
}

const examplesMax = 3;

export interface Evidence {
  readonly rows: readonly SeenRow[];
  readonly places: ReadonlyMap<string, Place>;
  /** What was found in the audited topics, by event id. */
  readonly found: ReadonlyMap<string, Found>;
  /** Whether the topic was read from before the creation of this row up to its end. */
  readonly isCovered: (row: SeenRow) => boolean;
}

export function judgeCustody({ rows, places, found, isCovered }: Evidence): CustodyFindings {
  const counts = { published: 0, waiting: 0, dead: 0, missing: 0, unproven: 0, lingering: 0 };
  const examples = { missing: [] as Example[], unproven: [] as Example[], lingering: [] as Example[] };
  for (const row of rows) {
    const fate = fateOf(row, places.get(row.eventId), found.get(row.eventId), isCovered);
    counts[fate] += 1;
    if (fate === "lingering") counts.waiting += 1;
    if (fate === "missing" || fate === "unproven" || fate === "lingering") {
      const { eventId, aggregateId, destination } = row;
      if (examples[fate].length < examplesMax)
        examples[fate].push({ eventId, aggregateId, topic: destination });
    }
  }
  return { judged: rows.length, ...counts, examples };
}

function fateOf(
  row: SeenRow,
  place: Place | undefined,
  record: Found | undefined,
  isCovered: (row: SeenRow) => boolean,
): "published" | "waiting" | "dead" | "missing" | "unproven" | "lingering" {
  if (place === "dead-letter") return "dead";
  if (place === "outbox") {
    // An event written again under its old id has another created_at: its old record says nothing about it.
    const isSame = record !== undefined && microsOfIso(record.createdAt) === microsOfIso(row.createdAt);
    return isSame && record.isEarly && row.isEarly ? "lingering" : "waiting";
  }
  if (record !== undefined) return "published";
  return isCovered(row) ? "missing" : "unproven";
}
