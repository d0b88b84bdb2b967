/** What a role lacks to relay, and what it has beyond that. */
import { quoteIdentifier } from "../outbox/statements.ts";
import type { DatabaseFacts, RoleFacts } from "./database-facts.ts";
import type { Finding } from "./finding.ts";
import { grantStatement, grantStatements } from "./grants.ts";
import { type Need, needsOf } from "./privileges.ts";
import type { Settings } from "./settings.ts";

export function roleFindings({ role, table }: DatabaseFacts, settings: Settings): Finding[] {
  if (table === null) return [];
  return [
    ...missingFindings(role, settings),
    ...hiddenFindings(role, settings),
    ...excessFindings(role, settings),
  ];
}

function missingFindings(role: RoleFacts, settings: Settings): Finding[] {
  const findings: Finding[] = [];
  const { schema } = settings;
  const name = quoteIdentifier(role.name);
  if (!role.hasSchemaUsage) {
    findings.push({
      code: "right-missing",
      severity: "error",
      message: `${name} may not use schema ${quoteIdentifier(schema)}`,
      repair: `grant usage on schema ${quoteIdentifier(schema)} to ${name}`,
    });
  }
  const lacking = lackingOf(role, settings);
  for (const table of new Set(lacking.map((need) => need.table))) {
    const needs = lacking.filter((need) => need.table === table);
    findings.push({
      code: "right-missing",
      // Without it only one check at the start is left out.
      severity: table === "outrider_migrations" ? "warning" : "error",
      message: `${name} has no ${needs.map(({ privilege }) => privilege).join(", ")} on ${table}, and so cannot ${needs[0]?.purpose}`,
      repair: grantStatement(needs, role.name, schema),
    });
  }
  return findings;
}

/** Tables that are not there are a matter of migrations. */
function lackingOf({ tables }: RoleFacts, settings: Settings): Need[] {
  return needsOf("relay", settings).filter(({ table, privilege }) => tables[table]?.[privilege] === false);
}

function hiddenFindings({ name, tables }: RoleFacts, { schema }: Settings): Finding[] {
  const role = quoteIdentifier(name);
  return Object.entries(tables).flatMap(([table, { hidesRows }]): Finding[] => {
    if (!hidesRows) return [];
    const place = `${quoteIdentifier(schema)}.${table}`;
    return [
      {
        code: "row-security",
        severity: "error",
        message: `row security may hide rows of ${place} from ${role}: they would never be published, without a word`,
        repair: `alter role ${role} bypassrls`,
      },
    ];
  });
}

function excessFindings(role: RoleFacts, settings: Settings): Finding[] {
  const name = quoteIdentifier(role.name);
  if (role.isSuperuser) {
    return [
      {
        code: "role-superuser",
        severity: "warning",
        message: `${name} is a superuser: whoever gets hold of the relay has the whole server`,
        repair: role.isBootstrap
          ? ownRole(settings)
          : statements([`alter role ${name} nosuperuser`], role.name, settings),
      },
    ];
  }
  if (role.isOwner) {
    return [
      {
        code: "role-owner",
        severity: "warning",
        message: `${name} owns the outbox: it may drop and alter it, and nothing else of its rights can be taken away`,
        repair: ownRole(settings),
      },
    ];
  }
  if (role.excess.length === 0) return [];
  const place = `${quoteIdentifier(settings.schema)}.undispatched_events`;
  const revokes = [...new Set(role.excess.map(({ grantee }) => grantee))].map((grantee) => {
    const rights = role.excess.filter((each) => each.grantee === grantee).map(({ privilege }) => privilege);
    return `revoke ${rights.join(", ")} on ${place} from ${grantee === null ? "public" : quoteIdentifier(grantee)}`;
  });
  return [
    {
      code: "right-excess",
      severity: "warning",
      message: `${name} may ${role.excess.map(({ privilege }) => privilege).join(", ")} on the outbox: no relay needs that`,
      repair: revokes.join("; "),
    },
  ];
}

/** A role of the relay's own, to connect as from then on. */
function ownRole(settings: Settings): string {
  const role = "outrider_relay";
  return statements([`create role ${role} login`], role, settings);
}

function statements(first: readonly string[], role: string, settings: Settings): string {
  return [...first, ...grantStatements("relay", role, settings)].join("; ");
}
