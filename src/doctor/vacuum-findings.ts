/**
 * Dead rows, and who keeps vacuum from removing them. Every published event leaves a dead row; while
 * anyone holds an old snapshot they stay, in the table and at the left edge of its index.
 */
import { quoteIdentifier } from "../outbox/statements.ts";
import type { DatabaseFacts, Holder } from "./database-facts.ts";
import type { Finding } from "./finding.ts";
import { quoteLiteral } from "./grants.ts";

/** Ten times what makes autovacuum come: it should have been there long ago. */
const deadTuplesMax = 20_000;
/** WAL that an unused slot may keep before it is worth a word: a few segments. */
const walBytesMax = 128 * 1_048_576;

export function vacuumFindings(
  { table, holders, server }: DatabaseFacts,
  schema: string,
  heldAfterMs: number,
): Finding[] {
  const findings = holders.flatMap((holder) => holderFindings(holder, heldAfterMs));
  if (!server.autovacuum) {
    findings.push({
      code: "autovacuum-off",
      severity: "error",
      message: "autovacuum is off (or track_counts is): dead rows pile up and every claim gets slower",
      repair: "alter system set autovacuum = on; alter system set track_counts = on; select pg_reload_conf()",
    });
  }
  if (table === null || table.deadTuples <= Math.max(deadTuplesMax, table.liveTuples)) return findings;
  const place = `${quoteIdentifier(schema)}.undispatched_events`;
  findings.push({
    code: "dead-tuples",
    severity: "warning",
    message: `${place} has ${table.deadTuples} dead rows beside ${table.liveTuples} live ones${findings.length > 0 ? "; vacuum cannot remove what the others named here hold" : ""}`,
    repair: `vacuum (index_cleanup on, truncate off) ${place}`,
  });
  if (holders.some(({ ageMs }) => ageMs === null)) {
    findings.push({
      code: "activity-hidden",
      severity: "note",
      message:
        "how long transactions of other roles are open cannot be seen, so who holds vacuum back may be missing here",
      repair:
        "run outrider doctor as a role of its own: outrider grants --reader ROLE, and --role for the role to judge",
    });
  }
  return findings;
}

function holderFindings(holder: Holder, heldAfterMs: number): Finding[] {
  const { ageMs } = holder;
  if (holder.kind === "slot") return slotFindings(holder);
  if (ageMs === null || ageMs < heldAfterMs) return [];
  if (holder.kind === "prepared") {
    return [
      {
        code: "transaction-prepared",
        severity: "error",
        message: `the prepared transaction ${JSON.stringify(holder.gid)} of ${holder.owner} is open for ${duration(ageMs)}: it survives restarts, keeps vacuum back, and the fence waits for it if it wrote events`,
        repair: `rollback prepared ${quoteLiteral(holder.gid).trim()}`,
      },
    ];
  }
  const who =
    `${holder.kind === "standby" ? "the standby behind" : ""} pid ${holder.pid} (${[holder.application, holder.user, holder.state].filter(Boolean).join(", ")})`.trim();
  if (holder.isWriter) {
    return [
      {
        code: "fence-held",
        severity: "error",
        message: `${who} has written to the outbox and stays open for ${duration(ageMs)}: newer events wait for it`,
        repair: `select pg_terminate_backend(${holder.pid})`,
      },
    ];
  }
  return [
    {
      code: "vacuum-held",
      severity: "warning",
      message: `${who} holds vacuum back for ${duration(ageMs)}: nothing that was deleted since can be removed`,
      repair:
        holder.kind === "standby"
          ? "end the long query on the standby, or switch its hot_standby_feedback off"
          : `select pg_terminate_backend(${holder.pid})`,
    },
  ];
}

function slotFindings({ slot, isActive, holdsRows, walBytes }: Holder & { kind: "slot" }): Finding[] {
  if (isActive || (!holdsRows && walBytes < walBytesMax)) return [];
  return [
    {
      code: "replication-slot-unused",
      severity: "warning",
      message: `nobody reads the replication slot ${JSON.stringify(slot)}: it keeps ${Math.round(walBytes / 1_048_576)} MiB of WAL${holdsRows ? ", and vacuum back" : ""}; a disk that is full stops the database`,
      repair: `select pg_drop_replication_slot(${quoteLiteral(slot).trim()})`,
    },
  ];
}

export function duration(ms: number): string {
  if (ms < 120_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}
