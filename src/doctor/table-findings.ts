/** What is wrong with the table: shape, index, migrations, autovacuum settings, the default of created_at. */
import { announcement, quoteIdentifier } from "../outbox/statements.ts";
import type { DatabaseFacts, TableFacts } from "./database-facts.ts";
import type { Finding } from "./finding.ts";
import type { Settings } from "./settings.ts";

/** What the migration sets, and what differs where somebody has changed it. */
const expectedOptions = {
  autovacuum_vacuum_scale_factor: "0",
  autovacuum_vacuum_threshold: "2000",
  autovacuum_vacuum_cost_delay: "0",
  vacuum_index_cleanup: "on",
  vacuum_truncate: "off",
} as const;

export function tableFindings(facts: DatabaseFacts, { schema }: Settings): Finding[] {
  const table = `${quoteIdentifier(schema)}.undispatched_events`;
  return [
    // Rights are judged one by one in `role-findings.ts`.
    ...facts.faults
      .filter(({ code }) => !code.endsWith("rights-missing") && code !== "row-security")
      .map((fault): Finding => ({ ...fault, ...indexRepair(fault.code, facts, schema), severity: "error" })),
    ...migrationFindings(facts),
    ...(facts.table === null
      ? []
      : [
          ...optionFindings(facts.table, table),
          ...stampFindings(facts.table, table),
          ...announcementFindings(facts.table, table),
        ]),
  ];
}

/** An index whose build failed keeps its name, so a new one cannot be made beside it. */
function indexRepair(code: string, { table }: DatabaseFacts, schema: string): { repair?: string } {
  if (code !== "index-missing" || table === null || table.invalidIndex === null) return {};
  return {
    repair: `reindex index concurrently ${quoteIdentifier(schema)}.${quoteIdentifier(table.invalidIndex)}`,
  };
}

function migrationFindings({ pendingMigrations, table }: DatabaseFacts): Finding[] {
  if (table === null || pendingMigrations === null || pendingMigrations.length === 0) return [];
  return [
    {
      code: "migrations-pending",
      severity: "error",
      message: `these migrations are not applied: ${pendingMigrations.join(", ")}`,
      repair: "outrider migrate",
    },
  ];
}

function optionFindings({ options, toastOptions }: TableFacts, table: string): Finding[] {
  const wrong = [
    ...differing(options, ""),
    ...(toastOptions === null ? [] : differing(toastOptions, "toast.")),
  ];
  const isDisabled = [...options, ...(toastOptions ?? [])].some((option) =>
    /^autovacuum_enabled=(off|false|no|0)$/i.test(option),
  );
  const findings: Finding[] = [];
  if (isDisabled) {
    findings.push({
      code: "autovacuum-disabled",
      severity: "error",
      message: `autovacuum is switched off for ${table}: dead rows will slow every claim down, without end`,
      repair: `alter table ${table} reset (autovacuum_enabled${toastOptions === null ? "" : ", toast.autovacuum_enabled"})`,
    });
  }
  if (wrong.length > 0) {
    findings.push({
      code: "autovacuum-settings",
      severity: "warning",
      message: `${table} lacks settings for a table whose every row is deleted soon: ${wrong.map(([name]) => name).join(", ")}`,
      repair: `alter table ${table} set (${wrong.map(([name, value]) => `${name} = ${value}`).join(", ")})`,
    });
  }
  return findings;
}

function differing(options: readonly string[], prefix: string): [name: string, value: string][] {
  const present = new Map(options.map((option) => option.split("=", 2) as [string, string]));
  return Object.entries(expectedOptions).flatMap(([name, value]): [string, string][] => {
    const found = present.get(name);
    if (found !== undefined && isAsGood(name, found, value)) return [];
    return [[`${prefix}${name}`, value]];
  });
}

/** A person may have chosen a smaller number, or spelled a boolean otherwise. */
function isAsGood(name: string, found: string, expected: string): boolean {
  if (name.startsWith("autovacuum")) return Number(found) <= Number(expected) && Number(found) >= 0;
  const isOn = /^(on|true|yes|1)$/i.test(found);
  return isOn === (expected === "on") && found.toLowerCase() !== "auto";
}

function stampFindings({ createdAtDefault }: TableFacts, table: string): Finding[] {
  if (createdAtDefault === "clock_timestamp()") return [];
  const found = createdAtDefault === null ? "has no default" : `has the default ${createdAtDefault}`;
  return [
    {
      code: "created-at-default",
      severity: "error",
      message: `created_at of ${table} ${found}: it must be clock_timestamp(). The start of a transaction ties inside of it, and puts events behind what is published`,
      repair: `alter table ${table} alter column created_at set default clock_timestamp()`,
    },
  ];
}

/** Relays see it by themselves, and are careful: a warning, because what was paid for is not had. */
function announcementFindings({ announcing }: TableFacts, table: string): Finding[] {
  if (announcing === null || announcing === "A") return [];
  return [
    {
      code: "narrow-fence-off",
      severity: "warning",
      message: `the trigger that announces slots does not fire for every session that writes to ${table}: an open transaction holds back everybody's events, as if it were not there`,
      repair: `alter table ${table} enable always trigger ${announcement.trigger}`,
    },
  ];
}
