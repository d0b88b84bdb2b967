/** What the server, the way to it and the two clocks bring. */
import { quoteIdentifier } from "../outbox/statements.ts";
import type { DatabaseFacts } from "./database-facts.ts";
import type { Finding } from "./finding.ts";
import type { Settings } from "./settings.ts";
import { duration } from "./vacuum-findings.ts";

/** Below it nothing in a log can be put into a wrong order by it. */
const clockDifferenceMsMax = 1_000;

/** A poll reads pg_locks, which costs by what the server has room for: measured, and so much a thousand locks. */
const lookMsPerThousand = 0.01;
/** Of the server's processor time for one poll. Up to 500 are made a second while events come in a steady stream. */
const lookMsMax = 1.5;
/** Of one core, for the polls of one relay. */
const lookShareMax = 0.2;

export function serverFindings({ server, role }: DatabaseFacts, { statementTimeoutMs }: Settings): Finding[] {
  const findings: Finding[] = [];
  const add = (severity: Finding["severity"], code: string, message: string, repair: string) =>
    findings.push({ code, severity, message, repair });
  if (server.isStandby)
    add(
      "error",
      "database-standby",
      "this server is a standby: nothing can be claimed or removed here",
      "let DATABASE_URL name the primary",
    );
  else if (server.isReadOnly)
    add(
      "error",
      "database-read-only",
      "transactions of this role are read only by default: nothing can be removed",
      `alter role ${quoteIdentifier(role.name)} set default_transaction_read_only = off`,
    );
  if (Math.abs(server.clockAheadMs) - server.clockUncertaintyMs > clockDifferenceMsMax)
    add(
      "warning",
      "clock-difference",
      `PostgreSQL's clock is ${duration(Math.abs(server.clockAheadMs))} ${server.clockAheadMs > 0 ? "ahead of" : "behind"} this machine's: order and leases go by PostgreSQL's alone, but logs and created_at will not agree`,
      "let both machines keep their time: systemctl enable --now chronyd",
    );
  if (!server.fsync)
    add(
      "warning",
      "fsync-off",
      "fsync is off: after a power cut the database may be beyond repair",
      "alter system set fsync = on; select pg_reload_conf()",
    );
  if (!server.synchronousCommit)
    add(
      "warning",
      "synchronous-commit-off",
      "synchronous_commit is off: an event may be in Kafka whose transaction a crash of the server undoes",
      "alter system set synchronous_commit = on; select pg_reload_conf() -- and what alter role and alter database set",
    );
  if (server.isPooled)
    add(
      "note",
      "pooler",
      "there is a pooler between: every statement of the relay works in transaction mode, none needs a session",
      "nothing to do",
    );
  if (server.statementTimeoutMs === 0)
    add(
      "warning",
      "statement-timeout-missing",
      "the pooler keeps statement_timeout from the server: a statement that the relay has given up would run on there",
      `alter role ${quoteIdentifier(role.name)} set statement_timeout = ${statementTimeoutMs}; -- then let the pooler connect anew`,
    );
  return [...findings, ...lookFindings(server)];
}

function lookFindings({ lockSlots }: DatabaseFacts["server"]): Finding[] {
  const lookMs = (lockSlots / 1_000) * lookMsPerThousand;
  if (lookMs <= lookMsMax) return [];
  const code = "lock-table-large";
  const message = `the server has room for ${lockSlots} locks: to see who is writing takes some ${lookMs.toFixed(1)} ms of its processor time at every poll`;
  const pauseMs = Math.ceil(lookMs / lookShareMax);
  const repair = `start the relay with OUTRIDER_POLL_MIN_MS=${pauseMs}, or the server with less max_connections or max_locks_per_transaction`;
  return [{ code, severity: "warning", message, repair }];
}
