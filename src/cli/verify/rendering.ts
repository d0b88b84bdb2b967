/** What a person and a program see of an audit. Pure; colours are a parameter. */
import { createHash } from "node:crypto";
import type { AuditFindings } from "../../audit/audit.ts";
import type { Example } from "../../audit/partition-judge.ts";
import type { AuditVerdict, Finding } from "../../audit/verdict.ts";
import type { Palette } from "../demo/rendering.ts";

/** How an aggregate_id is shown: as it is, or as a hash where it is nobody's business. */
export type Naming = (aggregateId: string) => string;

export const byItself: Naming = (aggregateId) => aggregateId;

/** Twelve hex digits of SHA-256: enough to compare, too few to search for. */
export const byHash: Naming = (aggregateId) =>
  createHash("sha256").update(aggregateId).digest("hex").slice(0, 12);

const number = (value: number) => value.toLocaleString("en-US");
const seconds = (ms: number) => `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;

export function renderAudit(
  audit: AuditFindings,
  verdict: AuditVerdict,
  palette: Palette,
  naming: Naming,
): string {
  const { custody, standing, looks, elapsedMs } = audit;
  const age = standing.oldestAgeMs === null ? "" : `, the oldest for ${seconds(standing.oldestAgeMs)}`;
  const found = verdict.findings.map((finding) => renderFinding(finding, palette, naming));
  return [
    ...renderTopics(audit),
    "",
    `outbox  ${standing.isMore ? "more than " : ""}${number(standing.waiting)} row(s) wait${age}; ${number(standing.blocked)} aggregate(s) blocked, ${number(standing.deadLetters)} dead letter(s)`,
    `rows    ${number(custody.judged)} followed over ${number(looks)} look(s): ${number(custody.published)} published, ${number(custody.waiting)} waiting, ${number(custody.dead)} dead, ${number(custody.missing)} missing`,
    "",
    ...found,
    ...(found.length > 0 ? [""] : []),
    `${verdictLine(verdict, palette)} (${seconds(elapsedMs)})`,
    "",
  ].join("\n");
}

function renderTopics({ topics }: AuditFindings): string[] {
  const head = ["topic", "partitions", "records", "aggregates", "duplicates", "out of order"];
  const rows = topics.map((topic) => [
    topic.topic,
    ...[topic.partitions, topic.records, topic.aggregates, topic.duplicates, topic.inversions].map(number),
  ]);
  const table = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  return table.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  "),
  );
}

function renderFinding(
  { kind, level, count, sentence, examples }: Finding,
  palette: Palette,
  naming: Naming,
): string {
  const paint = level === "note" ? palette.faint : palette.bad;
  const lines = examples.map((example) => `           ${renderExample(example, naming)}`);
  return [paint(`${level.padEnd(5)}  ${kind}: ${number(count)} ${sentence}`), ...lines].join("\n");
}

function renderExample({ topic, partition, offset, eventId, aggregateId }: Example, naming: Naming): string {
  return [
    ...(eventId === undefined ? [] : [`event ${eventId}`]),
    // Quoted: an aggregate_id is the application's, and may hold anything.
    ...(aggregateId === undefined ? [] : [`aggregate ${JSON.stringify(naming(aggregateId))}`]),
    ...(topic === undefined
      ? []
      : [`in ${[topic, partition, offset].filter((part) => part !== undefined).join("/")}`]),
  ].join(", ");
}

function verdictLine({ code, isClean }: AuditVerdict, palette: Palette): string {
  if (isClean) return palette.good("OK: nothing wrong was found");
  if (code === "AUDIT_INCONCLUSIVE")
    return palette.bad("OPEN: not everything could be judged (AUDIT_INCONCLUSIVE)");
  return palette.bad(`WRONG: ${code}`);
}

/** The one object of `--json`. */
export function auditObject(audit: AuditFindings, verdict: AuditVerdict, naming: Naming): object {
  const shown = ({ aggregateId, ...rest }: Example) =>
    aggregateId === undefined ? rest : { ...rest, aggregateId: naming(aggregateId) };
  const { custody, topics, ...rest } = audit;
  const { examples: _, ...rows } = custody;
  return {
    isClean: verdict.isClean,
    code: verdict.code,
    findings: verdict.findings.map((finding) => ({ ...finding, examples: finding.examples.map(shown) })),
    topics: topics.map(({ examples: __, worst, ...topic }) => ({
      ...topic,
      worst: worst.map(({ aggregateId, duplicates }) => ({ aggregateId: naming(aggregateId), duplicates })),
    })),
    rows,
    ...rest,
  };
}
