/**
 * One error class and one table of codes. The table in the documents is compared with this one by a
 * test, so neither can drift. A code that is retired is never used again.
 */

/** What the process ends with, by kind of fault. 128 + n is a second signal, as shells expect. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  unavailable: 69,
  bug: 70,
  refused: 78,
} as const;

export type ExitKind = keyof typeof exitCodes;

interface ErrorRow {
  readonly exit: ExitKind;
  readonly meaning: string;
}

/** Every code Outrider can raise. `exit` is what a command ends with when nothing handled it. */
export const errorTable = {
  CONFIG_INVALID: { exit: "refused", meaning: "One or more settings are missing or out of bounds." },
  EVENT_INVALID: { exit: "failed", meaning: "An event given to enqueue breaks a rule; nothing was written." },
  TRANSACTION_INVALID: {
    exit: "failed",
    meaning: "What was given to write with is no open transaction; nothing was written.",
  },
  INBOX_INVALID: {
    exit: "failed",
    meaning: "A consumer, an event_id or an option given to the inbox breaks a rule; no work was run.",
  },
  OUTBOX_UNAVAILABLE: { exit: "unavailable", meaning: "PostgreSQL cannot be reached or does not answer." },
  OUTBOX_REFUSED: {
    exit: "refused",
    meaning: "PostgreSQL answers, but there is no login, no such database, or no TLS that can be trusted.",
  },
  OUTBOX_FAILED: { exit: "failed", meaning: "PostgreSQL answers, but refused a statement." },
  OUTBOX_UNFIT: { exit: "refused", meaning: "The outbox table cannot be relayed safely as it is." },
  DEAD_LETTER_MISSING: { exit: "failed", meaning: "There is no dead letter with this event_id." },
  MIGRATION_FAILED: { exit: "failed", meaning: "A migration could not be applied; it was rolled back." },
  MIGRATION_BUSY: {
    exit: "unavailable",
    meaning: "A migration waited too long for a lock; nothing was changed.",
  },
  SCHEMA_NEWER: { exit: "refused", meaning: "The database has migrations that this version does not know." },
  BROKER_UNAVAILABLE: { exit: "unavailable", meaning: "Kafka cannot be reached or does not answer." },
  BROKER_REFUSED: {
    exit: "refused",
    meaning: "Kafka answers, but there is no login, or no TLS that can be trusted.",
  },
  PROGRESS_MISSING: {
    exit: "refused",
    meaning:
      "Kafka lost the number of the last batch, so nobody can tell whether it was committed (exactly-once).",
  },
  PUBLISH_STUCK: {
    exit: "failed",
    meaning: "A send neither succeeded nor failed in time; only a restart ends it safely.",
  },
  PART_MISSING: {
    exit: "unavailable",
    meaning: "A real part (PostgreSQL, Kafka, Java, Maven) cannot be had here.",
  },
  EVENT_UNREADABLE: {
    exit: "failed",
    meaning: "A record that a consumer received is no event of Outrider, or its payload is no JSON.",
  },
  CONSUMER_ENDED: {
    exit: "failed",
    meaning: "A consumer lost its group for good, without having been stopped.",
  },
  RELAY_ENDED: { exit: "failed", meaning: "A relay that the demo had started ended before it was asked to." },
  PROMISE_BROKEN: { exit: "failed", meaning: "An audit found events lost, doubled or out of order." },
  OUTBOX_STALE: {
    exit: "failed",
    meaning: "An audit found events that wait for too long, or are published and not removed.",
  },
  TOPIC_FOREIGN: {
    exit: "failed",
    meaning: "An audit found records that Outrider did not write: they have no event_id or no created_at.",
  },
  AUDIT_INCONCLUSIVE: {
    exit: "unavailable",
    meaning: "An audit could not read far enough to judge everything that it saw.",
  },
  HTTP_REFUSED: {
    exit: "refused",
    meaning: "The address for probes and metrics cannot be listened on; nothing was relayed.",
  },
  CHECKUP_FAILED: {
    exit: "refused",
    meaning: "A check-up found something that a person has to repair.",
  },
  INVARIANT: { exit: "bug", meaning: "Outrider contradicts itself; please report it." },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

export interface ErrorDetails {
  /** What to do about it: a sentence or a statement to run. */
  readonly repair?: string;
  /** Whether the same call may succeed later without anyone changing anything. */
  readonly retriable?: boolean;
  readonly cause?: unknown;
}

/** The one error class: `code` says which row of the table, `message` what was wrong and where. */
export class OutriderError extends Error {
  readonly code: ErrorCode;
  readonly repair: string | undefined;
  readonly retriable: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "OutriderError";
    this.code = code;
    this.repair = details.repair;
    this.retriable = details.retriable ?? false;
  }

  get exitCode(): number {
    return exitCodes[errorTable[this.code].exit];
  }
}

/** States what must hold. Breaking it is a bug in Outrider, never a user's mistake. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new OutriderError("INVARIANT", message);
}

/** The message of anything that was thrown, for a sentence in a log; never the object itself. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.message === "") {
    return thrown.errors.map(messageOf).join("; ");
  }
  return thrown instanceof Error ? thrown.message : String(thrown);
}
