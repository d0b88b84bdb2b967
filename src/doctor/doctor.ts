/**
 * A check-up: what in PostgreSQL, in Kafka and in the settings of a relay will make a night bad, each
 * with what repairs it. Facts are gathered by adapters (`postgres-facts.ts`, `kafka-facts.ts`), which only
 * read; what they mean is decided here and in the files beside, purely.
 *
 *     settings ─┐
 *     database ─┼─► facts ─► findings ─► diagnosis: ok unless one of them is an error
 *     brokers  ─┘
 *
 * A part that cannot be reached is a finding as well, and the rest is still examined.
 */
import { OutriderError } from "../foundation/errors.ts";
import type { KafkaCheckup, KafkaFacts } from "./cluster-facts.ts";
import { type Wanted, wantedTopics } from "./cluster-facts.ts";
import { clusterFindings } from "./cluster-findings.ts";
import type { DatabaseCheckup, DatabaseFacts } from "./database-facts.ts";
import { eventFindings } from "./event-findings.ts";
import type { Finding, Severity } from "./finding.ts";
import { roleFindings } from "./role-findings.ts";
import { serverFindings } from "./server-findings.ts";
import type { Settings } from "./settings.ts";
import { tableFindings } from "./table-findings.ts";
import { topicFindings } from "./topic-findings.ts";
import { transportFindings } from "./transport-findings.ts";
import { vacuumFindings } from "./vacuum-findings.ts";

export type { Finding, Severity } from "./finding.ts";

export interface Diagnosis {
  /** No errors; and with `isStrict` no warnings either. */
  readonly ok: boolean;
  /** The worst first. */
  readonly findings: readonly Finding[];
  /** Nothing is wrong but that a part could not be reached: asking again later may do. */
  readonly isOnlyAway: boolean;
}

export interface CheckupChoices {
  /** The role to judge; the connected one where left out. */
  readonly role: string | null;
  /** Topics that must be there, besides those that are derived. */
  readonly topics: readonly string[];
  /** A transaction that is open for longer is named. Milliseconds. */
  readonly heldAfterMs: number;
  readonly isStrict: boolean;
}

export interface CheckupParts {
  /** Null: there is no address. */
  readonly database: DatabaseCheckup | null;
  readonly kafka: KafkaCheckup | null;
  readonly settings: Settings;
}

/** Codes of parts that are away, or that nobody has named. */
const awayCodes = ["database-unavailable", "brokers-unavailable"];

const order: readonly Severity[] = ["error", "warning", "note"];

export async function runCheckup(parts: CheckupParts, choices: CheckupChoices): Promise<Diagnosis> {
  const { settings } = parts;
  const findings: Finding[] = [...transportFindings(settings)];
  const facts = await attempt(() => parts.database?.read(choices.role), "database", findings);
  if (facts !== undefined) findings.push(...databaseFindings(facts, settings, choices));
  if (settings.publisher === "kafka") {
    const wanted = wantedTopics(settings, choices.topics, facts?.rows?.destinations ?? []);
    const outboxId = facts?.outboxId ?? null;
    const seen = await attempt(() => parts.kafka?.read(wanted, outboxId), "brokers", findings);
    if (seen !== undefined) findings.push(...kafkaFindings(seen, wanted, settings));
  }
  return diagnose(findings, choices.isStrict);
}

export function diagnose(findings: readonly Finding[], isStrict: boolean): Diagnosis {
  const sorted = [...findings].sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
  const bad = sorted.filter(({ severity }) => severity === "error" || (isStrict && severity === "warning"));
  return {
    ok: bad.length === 0,
    findings: sorted,
    isOnlyAway: bad.length > 0 && bad.every(({ code }) => awayCodes.includes(code)),
  };
}

function databaseFindings(facts: DatabaseFacts, settings: Settings, choices: CheckupChoices): Finding[] {
  return [
    ...tableFindings(facts, settings),
    ...roleFindings(facts, settings),
    ...vacuumFindings(facts, settings.schema, choices.heldAfterMs),
    ...serverFindings(facts, settings),
    ...eventFindings(facts, settings.schema),
  ];
}

function kafkaFindings(facts: KafkaFacts, wanted: readonly Wanted[], settings: Settings): Finding[] {
  return [...clusterFindings(facts, settings), ...topicFindings(facts, wanted, settings)];
}

/** Undefined when the part is away, which is then among the findings. */
async function attempt<T>(
  ask: () => Promise<T> | undefined,
  part: "database" | "brokers",
  findings: Finding[],
): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    // What is no answer of PostgreSQL's or Kafka's is a bug, and must be seen as one.
    if (!(error instanceof OutriderError) || error.code === "INVARIANT") throw error;
    findings.push({
      code: `${part}-${error.code.endsWith("UNAVAILABLE") ? "unavailable" : "refused"}`,
      severity: "error",
      message: error.message,
      repair: error.repair ?? "see the message",
    });
    return undefined;
  }
}
