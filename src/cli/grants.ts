/** `outrider grants`: the statements that give each role what it needs, and nothing beyond. */
import { Command, CommanderError } from "commander";
import { grantStatements } from "../doctor/grants.ts";
import type { RoleKind } from "../doctor/privileges.ts";
import { exitCodes } from "../foundation/errors.ts";
import type { KeyName } from "../service/config-keys.ts";
import { addSettings, printJson, settingsOf, warn } from "./command.ts";

const keys: readonly KeyName[] = ["schema", "delivery", "inboxRetentionMs"];

const kinds: readonly (readonly [RoleKind, string])[] = [
  ["app", "writes events, with enqueue, with outrider_enqueue or with an INSERT that leaves created_at out"],
  ["relay", "runs `outrider relay`"],
  ["consumer", "processes events with the inbox"],
  ["operator", "runs `outrider dead-letters` and `outrider blocked`"],
  ["reader", "runs `outrider verify`, `top`, `blocked` and `doctor --role`; sees no payload"],
];

export function grantsCommand(): Command {
  const command = new Command("grants").description(
    "Print the statements that give each role its least rights. Needs no connection; run them as the owner.",
  );
  for (const [kind, sentence] of kinds) command.option(`--${kind} <role>`, `the role that ${sentence}`);
  command
    .option("--app-stamps", "the application supplies created_at; such events may come late")
    .option("--json", "one JSON object");
  return addSettings(command, keys).action(() => {
    const { settings, warnings } = settingsOf(command, keys);
    warn(warnings);
    const flags = command.opts<Partial<Record<RoleKind, string>> & { appStamps?: boolean; json?: boolean }>();
    const options = { ...settings, doesStamp: flags.appStamps === true };
    const given = kinds.flatMap(([kind]) => {
      const role = flags[kind];
      return role === undefined ? [] : [{ kind, role, statements: grantStatements(kind, role, options) }];
    });
    if (given.length === 0) {
      process.stderr.write("outrider: name at least one role, such as --relay outrider_relay\n");
      throw new CommanderError(exitCodes.usage, "outrider.grants.noRole", "no role");
    }
    if (flags.json === true) printJson({ schema: settings.schema, roles: given });
    else process.stdout.write(given.map(({ statements }) => `${statements.join(";\n")};\n`).join("\n"));
  });
}
