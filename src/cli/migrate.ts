import { Command, InvalidArgumentError, Option } from "commander";
import type { MigrationPart } from "../outbox/migration-plan.ts";
import { type MigrateOptions, type MigrationReport, migrate, renderSql } from "../outbox/migrator.ts";
import { connect } from "../outbox/postgres-connection.ts";
import type { PayloadType } from "../outbox/statements.ts";
import { databaseConfigOf } from "../service/config.ts";
import { addSettings, databaseKeys, printJson, settingsOf, warn } from "./command.ts";

interface Flags {
  readonly down?: boolean;
  readonly to?: string;
  readonly only?: MigrationPart;
  readonly narrowFence?: boolean;
  readonly dryRun?: boolean;
  readonly sql?: boolean;
  readonly payloadType?: PayloadType;
  readonly lockTimeoutMs?: number;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Turning a large table into an outbox takes as long as it takes; only waiting for locks is bounded. */
const statementTimeoutMs = 24 * 60 * 60_000;

export function migrateCommand(): Command {
  const command = new Command("migrate")
    .description(
      "Create outbox and inbox, adopt an existing undispatched_events, or take them out again (--down).",
    )
    .option("--down", "revert; refuses to drop an outbox that still holds events")
    .option("--to <migration>", "up: the last one to apply; down: the last one to keep")
    .addOption(
      new Option(
        "--only <part>",
        "only the outbox, or only the inbox: for a consumer with a database of its own; or only the narrow fence",
      ).choices(["outbox", "inbox", "narrow-fence"]),
    )
    .addOption(
      new Option(
        "--narrow-fence",
        "writers announce their shards, so that an open transaction holds back only those; a trigger on every insert",
      ).conflicts("down"),
    )
    .addOption(new Option("--dry-run", "only say what would be run").conflicts("sql"))
    .option("--sql", "print the script instead, for psql or a reviewer; needs no connection")
    .addOption(
      new Option(
        "--payload-type <type>",
        "type of event_payload; default: an existing column keeps its type, a new one is json",
      ).choices(["json", "jsonb", "bytea"]),
    )
    .option(
      "--lock-timeout-ms <ms>",
      "how long to wait for a table in use; writers wait behind it. 1 to 600000 ms. Default 3000.",
      parseLockTimeout,
    )
    .option("--force", "with --down: drop the outbox although events wait in it; they are lost")
    .option("--json", "one JSON object");
  return addSettings(command, databaseKeys).action(() => run(command));
}

async function run(command: Command): Promise<void> {
  const flags = command.opts<Flags>();
  const { settings, warnings } = settingsOf(command, databaseKeys);
  warn(warnings);
  const options: MigrateOptions = {
    schema: settings.schema,
    direction: flags.down === true ? "down" : "up",
    to: flags.to,
    only: flags.only,
    narrowFence: flags.narrowFence === true,
    payloadType: flags.payloadType,
    lockTimeoutMs: flags.lockTimeoutMs,
    isForced: flags.force === true,
    isDryRun: flags.dryRun === true,
  };
  if (flags.sql === true) {
    const script = renderSql(options);
    if (flags.json === true) printJson({ schema: options.schema, direction: options.direction, sql: script });
    else process.stdout.write(script);
    return;
  }
  const client = await connect({ ...databaseConfigOf(settings), statementTimeoutMs }, "outrider migrate");
  try {
    const report = await migrate(client, options);
    if (flags.json === true) printJson(report);
    else process.stdout.write(`${describe(report)}\n`);
  } finally {
    await client.end();
  }
}

function parseLockTimeout(text: string): number {
  const ms = Number(text);
  if (Number.isInteger(ms) && ms >= 1 && ms <= 600_000) return ms;
  throw new InvalidArgumentError("a whole number from 1 to 600000 (ms) is needed");
}

function describe({ schema, direction, isDryRun, migrations }: MigrationReport): string {
  const place = `schema ${JSON.stringify(schema)}`;
  if (migrations.length === 0) {
    return direction === "up" ? `${place} is up to date` : `${place} has nothing to revert`;
  }
  const verb = `${isDryRun ? "would be " : ""}${direction === "up" ? "applied" : "reverted"}`;
  return [`${place}: ${verb}`, ...migrations.map((name) => `  ${name}`)].join("\n");
}
