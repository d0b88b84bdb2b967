/** What a check-up says about one thing. */

/**
 * `error`: the relay does not run, loses a promise, or lets events wait for ever. `warning`: works now,
 * and will hurt. `note`: worth knowing, nothing to be woken up for.
 */
export type Severity = "error" | "warning" | "note";

export interface Finding {
  readonly code: string;
  readonly severity: Severity;
  /** What is wrong, and what comes of it. Never a payload, never a secret. */
  readonly message: string;
  /** A statement or a command; a sentence where no command can know what is meant. */
  readonly repair: string;
}
