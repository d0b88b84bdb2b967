/** A check-up as `outrider doctor` makes it, in this process, and its repairs carried out. */
import type pg from "pg";
import { type CheckupChoices, type Diagnosis, runCheckup } from "../../src/doctor/doctor.ts";
import { composeDoctor } from "../../src/service/compose-doctor.ts";
import { parseSettings } from "../../src/service/config.ts";
import { runKafkaTool } from "./kafka-tools.ts";

/** What the servers of a test run are reproached with whatever a test does: no fsync, and one broker. */
const ambient = ["fsync-off", "brokers-few", "replication-factor", "payload-above-topic"];

export async function checkUp(
  environment: Readonly<Record<string, string>>,
  choices: Partial<CheckupChoices> = {},
): Promise<Diagnosis> {
  const { close, ...parts } = composeDoctor(parseSettings(environment).settings);
  try {
    return await runCheckup(parts, {
      topics: [],
      role: null,
      heldAfterMs: 60_000,
      isStrict: false,
      ...choices,
    });
  } finally {
    await close();
  }
}

/** The findings that are a test's own doing. */
export function own({ findings }: Pick<Diagnosis, "findings">): Diagnosis["findings"] {
  return findings.filter(({ code }) => !ambient.includes(code));
}

/** Runs what a finding says, as it says it: statements as the superuser, commands with Kafka's tools. */
export async function carryOut(repair: string, admin: pg.Client): Promise<void> {
  if (repair.startsWith("kafka-")) return runKafkaTool(repair);
  const sql = repair.replace(/ -- .*$/, "");
  // As a terminal does it: a statement at a time, because some refuse to run inside of a transaction.
  const statements = /\bdo \$/.test(sql) ? [sql] : sql.split(/;\s*/);
  for (const statement of statements) if (statement !== "") await admin.query(statement);
}
