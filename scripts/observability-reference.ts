/**
 * The generated parts of docs/observability.md: announcements (from their type and its comments), log
 * fields, metrics and pages. Written by write-reference.ts, compared by a test.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { levelOf } from "../src/observability/log.ts";
import { type MetricRow, metricTable } from "../src/observability/metric-table.ts";
import type { AnnouncementType } from "../src/relay/announcements.ts";
import { row } from "./markdown.ts";

export const observabilityPath = fileURLToPath(new URL("../docs/observability.md", import.meta.url));
const announcementsPath = fileURLToPath(new URL("../src/relay/announcements.ts", import.meta.url));

export interface DocumentedAnnouncement {
  readonly type: AnnouncementType;
  readonly meaning: string;
  readonly fields: readonly string[];
}

/** Fields that a line of the log always has; the announcement's own follow. */
export const lineFields: Readonly<Record<string, string>> = {
  level: "`debug`, `info`, `warn` or `error`.",
  time: "When it was written, ISO 8601 in UTC, by this machine's clock.",
  service: "Always `outrider`.",
  version: "Which version.",
  instance: "Host name and process id.",
  event: "The announcement. Lines about the process itself, and kafkajs' own (`source`), have none.",
  msg: "The same as a sentence for a person; not for programs, it may change in any version.",
};

/** What announcements carry that never reaches the log. */
const unlogged = new Set(["batch"]);

/** @throws Error when a member of the union is written in a way that this cannot read. */
export function readAnnouncements(): DocumentedAnnouncement[] {
  const text = readFileSync(announcementsPath, "utf8");
  const file = ts.createSourceFile("announcements.ts", text, ts.ScriptTarget.Latest, true);
  const union = file.statements.find(
    (statement): statement is ts.TypeAliasDeclaration =>
      ts.isTypeAliasDeclaration(statement) && statement.name.text === "Announcement",
  );
  if (union === undefined || !ts.isUnionTypeNode(union.type)) throw new Error("Announcement is no union");
  return union.type.types.map((member) => {
    if (!ts.isTypeLiteralNode(member)) throw new Error(`no type literal: ${member.getText()}`);
    const properties = member.members.filter(ts.isPropertySignature);
    const [type, ...fields] = properties.map((property) => ({
      name: property.name.getText(),
      type: property.type?.getText() ?? "",
    }));
    if (type?.name !== "type") throw new Error(`\`type\` does not come first: ${member.getText()}`);
    return {
      type: JSON.parse(type.type) as AnnouncementType,
      meaning: commentBefore(text, member.getFullStart()),
      fields: fields.flatMap(({ name }) => (unlogged.has(name) ? [] : [name])),
    };
  });
}

/** The comment that stands before the bar of a union's member. */
function commentBefore(text: string, position: number): string {
  const bar = text.lastIndexOf("|", position);
  const comment = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*$/.exec(text.slice(0, bar))?.[1] ?? "";
  return comment
    .split("\n")
    .map((line) => line.replace(/^\s*\*?\s*/, "").trim())
    .join(" ")
    .trim();
}

function announcements(): string {
  const lines = readAnnouncements().map(({ type, meaning, fields }) =>
    row(`\`${type}\``, levelOf(type), fields.map((field) => `\`${field}\``).join(", ") || "–", meaning),
  );
  return [row("event", "level", "fields", "meaning"), "|---|---|---|---|", ...lines].join("\n");
}

function logFields(): string {
  const lines = Object.entries(lineFields).map(([name, meaning]) => row(`\`${name}\``, meaning));
  return [row("field", "meaning"), "|---|---|", ...lines].join("\n");
}

function metrics(): string {
  const rows = Object.entries<MetricRow>(metricTable).map(([name, { type, labels, meaning }]) =>
    row(`\`${name}\``, type, labels.map((label) => `\`${label}\``).join(", ") || "–", meaning),
  );
  return [row("metric", "type", "labels", "meaning"), "|---|---|---|---|", ...rows].join("\n");
}

export const observabilityParts: Readonly<Record<string, () => string>> = {
  announcements,
  "log fields": logFields,
  metrics,
};
