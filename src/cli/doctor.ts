/** `outrider doctor`: a check-up of PostgreSQL, Kafka and the settings, with the repair of all it finds. */
import { Command, InvalidArgumentError, Option } from "commander";
import { type Diagnosis, type Finding, runCheckup, type Severity } from "../doctor/doctor.ts";
import { OutriderError } from "../foundation/errors.ts";
import { composeDoctor } from "../service/compose-doctor.ts";
import { keyNames } from "../service/config-keys.ts";
import { addSettings, printJson, settingsOf, warn } from "./command.ts";
import { coloured, type Palette, plain } from "./demo/rendering.ts";
import { parseSpan } from "./verify/spans.ts";

interface DoctorFlags {
  readonly topic: readonly string[];
  readonly role?: string;
  readonly heldAfter: number;
  readonly strict?: boolean;
  readonly json?: boolean;
}

export function doctorCommand(): Command {
  const command = new Command("doctor")
    .description(
      "Look for everything that makes a night bad, and say what repairs it. Give it the relay's settings; it only reads.",
    )
    .addOption(
      new Option("--topic <name>", "a topic that must be there; repeat it for several")
        .argParser((name: string, names: readonly string[]) => [...names, name])
        .default([], "derived from settings and waiting events"),
    )
    .option("--role <role>", "the role to judge; default: the one that connects")
    .addOption(
      new Option("--held-after <span>", "name transactions that are open for longer")
        .argParser(parseHeldAfter)
        .default(60_000, "1m"),
    )
    .option("--strict", "warnings are faults, too")
    .option("--json", "one JSON object");
  return addSettings(command, keyNames).action(() => examine(command));
}

async function examine(command: Command): Promise<void> {
  const flags = command.opts<DoctorFlags>();
  const { settings, warnings } = settingsOf(command, keyNames);
  warn(warnings);
  const { close, ...parts } = composeDoctor(settings);
  try {
    const { topic: topics, role = null, heldAfter: heldAfterMs, strict: isStrict = false } = flags;
    const diagnosis = await runCheckup(parts, { topics, role, heldAfterMs, isStrict });
    const { ok, findings } = diagnosis;
    if (flags.json === true) printJson({ ok, findings });
    else process.stdout.write(renderDiagnosis(diagnosis, paletteOf(process.stdout)));
    if (!ok) {
      const code = diagnosis.isOnlyAway ? "BROKER_UNAVAILABLE" : "CHECKUP_FAILED";
      process.exitCode = new OutriderError(code, "").exitCode;
    }
  } finally {
    await close();
  }
}

function parseHeldAfter(text: string): number {
  const value = parseSpan(text);
  if (value !== undefined) return value;
  throw new InvalidArgumentError("A span such as 500ms, 10s, 15m or 2h is needed.");
}

export function renderDiagnosis({ ok, findings }: Diagnosis, palette: Palette): string {
  const paints: Readonly<Record<Severity, (text: string) => string>> = {
    error: palette.bad,
    warning: (text) => text,
    note: palette.faint,
  };
  const width = Math.max(0, ...findings.map(({ code }) => code.length));
  const indent = " ".repeat(9);
  const lines = findings.map(
    ({ severity, code, message, repair }: Finding) =>
      `${paints[severity](`${severity.padEnd(7)}  ${code.padEnd(width)}`)}\n${indent}${message}\n${indent}repair: ${repair}\n`,
  );
  const count = (severity: Severity) => findings.filter((finding) => finding.severity === severity).length;
  const counts = `${count("error")} error(s), ${count("warning")} warning(s), ${count("note")} note(s)`;
  return `${[...lines, ok ? palette.good(`healthy: ${counts}`) : palette.bad(`unwell: ${counts}`)].join("\n")}\n`;
}

const paletteOf = (stream: NodeJS.WriteStream) =>
  stream.isTTY === true && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb"
    ? coloured
    : plain;
