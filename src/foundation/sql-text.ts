/** Text on its way into a statement: what PostgreSQL can store, and how a schema is named. */

export const unstorable =
  "has the character U+0000 or half of a surrogate pair, which PostgreSQL cannot store";

/** Half a pair would be stored as U+FFFD: two texts that differ only there would become one. */
export function isStorable(text: string): boolean {
  return !/[\0\p{Surrogate}]/u.test(text);
}

/** A sentence about what was given as the option `schema`, or undefined when it can be used. */
export function schemaProblem(schema: unknown): string | undefined {
  if (schema === undefined) return undefined;
  if (typeof schema === "string" && schema !== "" && !schema.includes("\0")) return undefined;
  return "options.schema is no schema name: leave it out or give the name without quotes";
}

/** The table in that schema, or as `search_path` finds it. */
export function tableIn(schema: string | undefined, table: string): string {
  return schema === undefined ? table : `${quoteSchema(schema)}.${table}`;
}

/**
 * An identifier, whatever characters it has. What some library might take for a placeholder (`$1`,
 * `?`, `:name`) is written as a Unicode escape.
 */
function quoteSchema(name: string): string {
  const quoted = `"${name.replaceAll('"', '""')}"`;
  if (!/[$?:\\]/.test(name)) return quoted;
  const escaped = (character: string) => `\\${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `U&${quoted.replaceAll(/[$?:\\]/g, escaped)}`;
}
