/**
 * Writes the generated parts of the README (settings, error codes, exit codes, figures) and of
 * docs/observability.md, each between two markers. `npx tsx scripts/write-reference.ts` after a change of one of
 * the tables, or a new page of a benchmark; a test compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errorTable, exitCodes } from "../src/foundation/errors.ts";
import { configKeys, flagOf, type Key } from "../src/service/config-keys.ts";
import { benchParts } from "./bench-reference.ts";
import { row, withParts } from "./markdown.ts";
import { observabilityParts, observabilityPath } from "./observability-reference.ts";

export const readmePath = fileURLToPath(new URL("../README.md", import.meta.url));

function settings(): string {
  const lines = Object.values<Key>(configKeys).map((key) =>
    row(nameOf(key), key.sentence, allowedOf(key), defaultOf(key)),
  );
  return [row("variable and flag", "what it does", "allowed", "default"), "|---|---|---|---|", ...lines].join(
    "\n",
  );
}

function nameOf(key: Key): string {
  const flag = flagOf(key);
  return `\`${key.variable}\`<br>${flag === undefined ? `or \`${key.variable}_FILE\`, no flag: a secret` : `\`${flag}\``}`;
}

function allowedOf(key: Key): string {
  switch (key.kind) {
    case "number":
      return `${number(key.min)} to ${number(key.max)} ${key.unit ?? ""}`.trim();
    case "choice":
      return key.choices.map((choice) => `\`${choice}\``).join(", ");
    case "flag":
      return "`true`, `false`";
    case "cron":
      return "cron, six fields";
    default:
      return key.kind;
  }
}

function defaultOf(key: Key): string {
  if (key.default === null) return "–";
  return key.kind === "number" ? number(key.default) : `\`${key.default}\``;
}

const number = (value: number) => value.toLocaleString("en-US");

const exitMeanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  ok: "done",
  failed: "it was tried and failed",
  usage: "the command line is wrong",
  unavailable: "PostgreSQL, Kafka or another part cannot be reached: try again later",
  bug: "a bug in Outrider",
  refused: "settings, rights or schema have to be repaired by a person",
};

function exits(): string {
  const codesOf = (kind: string) =>
    Object.entries(errorTable).flatMap(([code, { exit }]) => (exit === kind ? [`\`${code}\``] : []));
  const lines = Object.entries(exitCodes).map(([kind, code]) =>
    row(String(code), exitMeanings[kind as keyof typeof exitCodes], codesOf(kind).join(", ") || "–"),
  );
  return [
    row("exit code", "means", "error codes"),
    "|---|---|---|",
    ...lines,
    row("130, 143", "a second SIGINT or SIGTERM: left at once", "–"),
  ].join("\n");
}

function errors(): string {
  const lines = Object.entries(errorTable).map(([code, { meaning }]) => row(`\`${code}\``, meaning));
  return [row("error code", "means"), "|---|---|", ...lines].join("\n");
}

const parts: Readonly<Record<string, () => string>> = { settings, exits, errors, ...benchParts };

/** The README with every generated part as it should be. @throws Error when a marker is missing. */
export function withReference(readme: string): string {
  return withParts(readme, parts);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(readmePath, withReference(readFileSync(readmePath, "utf8")));
  const page = readFileSync(observabilityPath, "utf8");
  writeFileSync(observabilityPath, withParts(page, observabilityParts));
}
