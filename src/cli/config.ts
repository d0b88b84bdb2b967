import { Command } from "commander";
import { showSettings } from "../service/config.ts";
import { keyNames } from "../service/config-keys.ts";
import { addSettings, printJson, settingsOf, warn } from "./command.ts";

export function configCommand(): Command {
  const command = new Command("config").description(
    "Show every setting in effect and where it came from, secrets masked.",
  );
  command.option("--json", "one JSON object");
  return addSettings(command, keyNames).action(() => {
    const parsed = settingsOf(command, keyNames);
    const shown = showSettings(parsed);
    if (command.opts<{ json?: boolean }>().json === true) {
      printJson({ settings: shown, warnings: parsed.warnings });
      return;
    }
    warn(parsed.warnings);
    const width = Math.max(...shown.map(({ variable }) => variable.length));
    for (const { variable, value, origin } of shown) {
      process.stdout.write(`${variable.padEnd(width)}  ${value ?? "-"}  (${origin})\n`);
    }
  });
}
