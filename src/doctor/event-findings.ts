/** What the rows that wait show by themselves. */
import { quoteIdentifier } from "../outbox/statements.ts";
import type { DatabaseFacts, RowFacts } from "./database-facts.ts";
import type { Finding } from "./finding.ts";
import { needsOf } from "./privileges.ts";

/** More than two rows of one moment ever differ by, microseconds. */
const toleranceMicros = 2_000_000;

export function eventFindings({ rows, table }: DatabaseFacts, schema: string): Finding[] {
  if (rows === null) return [];
  const findings: Finding[] = [];
  const place = `${quoteIdentifier(schema)}.undispatched_events`;
  const { future, backdated } = foreignStamps(rows);
  if (future > 0) {
    findings.push({
      code: "created-at-future",
      severity: "error",
      message: `${future} of ${rows.stamps.length} rows looked at have a created_at in the future: the relay does not see them until then`,
      repair: `update ${place} set created_at = clock_timestamp() where created_at > clock_timestamp() + interval '1 second'`,
    });
  }
  if (future > 0 || backdated > 0) {
    findings.push({
      code: "created-at-supplied",
      severity: "warning",
      message: `${future + backdated} of ${rows.stamps.length} rows looked at have a created_at that the database did not give them when they were written: an application supplies it, or a clock stepped back. Such events can come late`,
      repair: stampRepair(table?.stampers ?? [], place),
    });
  }
  if (rows.blocked > 0) {
    findings.push({
      code: "aggregates-blocked",
      severity: "warning",
      message: `${rows.blocked} aggregate(s) wait behind an event that was rejected`,
      repair: "outrider blocked # says why; repair or delete the row",
    });
  }
  if (rows.deadLetters > 0) {
    findings.push({
      code: "dead-letters",
      severity: "note",
      message: `${rows.deadLetters} event(s) were given up`,
      repair: "outrider dead-letters list # then redrive or discard",
    });
  }
  return findings;
}

/**
 * seq is given out by the database in the moment in which created_at would be, so the two rise together.
 * A row that is older than one with a smaller seq was stamped by somebody else.
 */
export function foreignStamps({ stamps, clock }: RowFacts): { future: number; backdated: number } {
  const sorted = [...stamps].sort((a, b) => (a.seq < b.seq ? -1 : 1));
  let latest = Number.NEGATIVE_INFINITY;
  let future = 0;
  let backdated = 0;
  for (const { createdAt } of sorted) {
    if (createdAt > clock + toleranceMicros) {
      // One that lies ahead must not make all that follow look old.
      future += 1;
      continue;
    }
    if (createdAt < latest - toleranceMicros) backdated += 1;
    latest = Math.max(latest, createdAt);
  }
  return { future, backdated };
}

/** Who may not name the column cannot supply it. */
function stampRepair(stampers: readonly (string | null)[], place: string): string {
  const need = needsOf("app", { delivery: "at-least-once", inboxRetentionMs: 0 })[0];
  if (stampers.length === 0) return "let the application leave created_at out of its INSERT";
  return stampers
    .map((grantee) => {
      const name = grantee === null ? "public" : quoteIdentifier(grantee);
      return `revoke insert on ${place} from ${name}; grant insert (${need?.columns?.join(", ")}) on ${place} to ${name}`;
    })
    .join("; ");
}
