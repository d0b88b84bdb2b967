/** The statements of least privilege, for one role or for several. Pure; every name is quoted. */
import { quoteIdentifier } from "../outbox/statements.ts";
import { type Need, type NeedOptions, needsOf, type RoleKind } from "./privileges.ts";

export interface GrantOptions extends NeedOptions {
  readonly schema: string;
}

/** In the order in which they are to be run, by the owner of the tables; without semicolons. */
export function grantStatements(kind: RoleKind, role: string, options: GrantOptions): readonly string[] {
  const needs = needsOf(kind, options);
  const tables = [...new Set(needs.map(({ table }) => table))];
  const schema = quoteIdentifier(options.schema);
  return [
    `grant usage on schema ${schema} to ${quoteIdentifier(role)}`,
    ...tables.map((table) =>
      grantStatement(
        needs.filter((need) => need.table === table),
        role,
        options.schema,
      ),
    ),
    ...extrasOf(kind, role, options.schema),
  ];
}

/** One statement for needs on the same table. */
export function grantStatement(needs: readonly Need[], role: string, schema: string): string {
  const privileges = needs.map(({ privilege, columns }) =>
    columns === undefined ? privilege : `${privilege} (${columns.join(", ")})`,
  );
  return `grant ${privileges.join(", ")} on ${quoteIdentifier(schema)}.${needs[0]?.table} to ${quoteIdentifier(role)}`;
}

function extrasOf(kind: RoleKind, role: string, schema: string): readonly string[] {
  switch (kind) {
    case "app":
      return [
        // Without its parameters, whose types depend on the payload's.
        `grant execute on function ${quoteIdentifier(schema)}.outrider_enqueue to ${quoteIdentifier(role)}`,
        onSequence("usage", role, schema),
      ];
    case "operator":
      return [onSequence("usage", role, schema)];
    case "relay":
      return [onSequence("select", role, schema)];
    case "reader":
      // Else it sees the pid of an old transaction, but not how old it is.
      return [`grant pg_read_all_stats to ${quoteIdentifier(role)}`];
    case "consumer":
      return [];
  }
}

/**
 * The sequence behind seq has another name in a table that was adopted with a seq of its own. An
 * idle relay reads it instead of the table. A writer uses it only where seq is no identity.
 */
function onSequence(privilege: "select" | "usage", role: string, schema: string): string {
  const table = quoteLiteral(`${quoteIdentifier(schema)}.undispatched_events`);
  const sequence = `pg_get_serial_sequence(${table}, 'seq')`;
  const isNeeded =
    privilege === "select"
      ? `${sequence} is not null`
      : `${sequence} is not null and exists (select from pg_attribute
     where attrelid = ${table}::regclass and attname = 'seq' and attidentity = '')`;
  return dollarQuoted(
    (tag) => `do ${tag}
begin
  if ${isNeeded} then
    execute format('grant ${privilege} on sequence %s to %I', ${sequence}, ${quoteLiteral(role)});
  end if;
end
${tag}`,
  );
}

/** A string constant, whatever characters it has and whatever standard_conforming_strings says. */
export function quoteLiteral(text: string): string {
  const doubled = text.replaceAll("'", "''");
  return text.includes("\\") ? ` E'${doubled.replaceAll("\\", "\\\\")}'` : `'${doubled}'`;
}

/** A name may hold any tag that was chosen before it was known. */
function dollarQuoted(render: (tag: string) => string): string {
  for (let n = 0; ; n += 1) {
    const tag = `$grant${n === 0 ? "" : n}$`;
    const statement = render(tag);
    if (statement.split(tag).length === 3) return statement;
  }
}
