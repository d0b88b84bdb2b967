/** What every command shares: flags made from the table of settings, and how an error ends a process. */
import { type Command, Option } from "commander";
import { exitCodes, messageOf, OutriderError } from "../foundation/errors.ts";
import { type Parsed, parseSettings } from "../service/config.ts";
import { configKeys, flagOf, type Key, type KeyName, keyNames } from "../service/config-keys.ts";

/** Settings that only speak of PostgreSQL, for commands that need nothing else. */
export const databaseKeys: readonly KeyName[] = keyNames.filter(
  (name) => name.startsWith("database") || name === "schema",
);

/** Adds a flag for each of these settings, with its sentence, unit, bounds, variable and default. */
export function addSettings(command: Command, names: readonly KeyName[]): Command {
  for (const name of names) {
    const key: Key = configKeys[name];
    const flag = flagOf(key);
    if (flag === undefined) continue;
    const option = new Option(
      key.kind === "flag" ? `${flag} [true|false]` : `${flag} <${placeholderOf(key)}>`,
      describeKey(key),
    );
    command.addOption(option);
  }
  const secrets = names.map((name): Key => configKeys[name]).filter(({ isSecret }) => isSecret === true);
  if (secrets.length === 0) return command;
  const lines = secrets.map((key) => `  ${key.variable} (or ${key.variable}_FILE): ${key.sentence}`);
  return command.addHelpText("after", `\nSecrets come from the environment alone:\n${lines.join("\n")}`);
}

function placeholderOf(key: Key): string {
  if (key.kind === "number") return key.unit ?? "number";
  return key.kind === "choice" ? key.choices.join("|") : key.kind;
}

/** The sentence of a setting with its bounds, variable and default, for `--help`. */
export function describeKey(key: Key): string {
  const bounds = key.kind === "number" ? ` ${key.min} to ${key.max} ${key.unit ?? ""}.` : "";
  const fallback = key.default === null ? "" : ` Default ${key.default}.`;
  return `${key.sentence}${bounds}${fallback} [${key.variable}]`;
}

/** Settings from the environment, overridden by the flags that `addSettings` defined. */
export function settingsOf(command: Command, names: readonly KeyName[]): Parsed {
  const given = command.opts<Record<string, string | boolean | undefined>>();
  const flags: Record<string, string | boolean> = {};
  for (const name of names) {
    const flag = flagOf(configKeys[name]);
    if (flag === undefined) continue;
    const value = given[flag.slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
    if (value !== undefined) flags[name] = value;
  }
  return parseSettings(process.env, flags);
}

/** One sentence on standard error, what to do, and the exit code from the table. Never a stack trace. */
export function reportError(error: unknown): number {
  if (error instanceof OutriderError && error.code !== "INVARIANT") {
    const repair = error.repair === undefined ? "" : `\n  what to do: ${error.repair}`;
    process.stderr.write(`outrider: ${error.message}${repair}\n`);
    return error.exitCode;
  }
  process.stderr.write(`outrider: a bug, please report it: ${messageOf(error)}\n`);
  if (process.env.OUTRIDER_LOG_LEVEL === "debug" && error instanceof Error)
    process.stderr.write(`${error.stack}\n`);
  return exitCodes.bug;
}

export function warn(warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`outrider: warning: ${warning}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
