/** What ships for running Outrider elsewhere, read as its tools would read it. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseAllDocuments, parse as parseYaml } from "yaml";
import { configKeys, type Key } from "../../src/service/config-keys.ts";

const root = new URL("../../", import.meta.url);

export const pathOf = (path: string): string => fileURLToPath(new URL(path, root));
export const textOf = (path: string): string => readFileSync(new URL(path, root), "utf8");

/** A node of a document of which a test looks at a few fields only; every field may be missing. */
export interface Tree {
  readonly [field: string]: Tree | undefined;
}

/** The value at a dotted path, or undefined. */
export function at(tree: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (node, field) => (typeof node === "object" && node !== null ? (node as Tree)[field] : undefined),
      tree,
    );
}

/** As Docker reads it: with `<<` merged. */
export const composeFile = (): unknown => parseYaml(textOf("docker-compose.yml"), { merge: true });

/** All documents of a YAML text; throws on the first fault. */
export function documentsIn(text: string): readonly unknown[] {
  return parseAllDocuments(text).map((document) => {
    const [fault] = document.errors;
    if (fault !== undefined) throw fault;
    return document.toJS() as unknown;
  });
}

/** Names of all settings, secrets with their twin. */
export function settingNames(): ReadonlySet<string> {
  return new Set(
    Object.values<Key>(configKeys).flatMap(({ variable, isSecret }) =>
      isSecret === true ? [variable, `${variable}_FILE`] : [variable],
    ),
  );
}

/** Every metric with its type, from the one table of them; undefined in a version that has none. */
export function knownMetrics(): ReadonlyMap<string, string> | undefined {
  const table = pathOf("src/observability/metric-table.ts");
  if (!existsSync(table)) return undefined;
  const rows = readFileSync(table, "utf8").matchAll(/^\s+(outrider_\w+): (gauge|counter|histogram)\(/gm);
  return new Map([...rows].map(([, name = "", type = ""]) => [name, type]));
}

/** The metrics that an expression names. */
export function metricsIn(expression: string): readonly string[] {
  return [...new Set(expression.match(/\boutrider_\w+/g) ?? [])];
}
