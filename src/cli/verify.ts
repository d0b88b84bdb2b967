/** `outrider verify`: an audit of a running system, read only and bounded. */
import { Command, InvalidArgumentError, Option } from "commander";
import { type AuditChoices, runAudit } from "../audit/audit.ts";
import { judgeAudit } from "../audit/verdict.ts";
import { systemClock } from "../foundation/clock.ts";
import { OutriderError } from "../foundation/errors.ts";
import type { Isolation } from "../publisher/topic-reader.ts";
import { composeAudit } from "../service/compose.ts";
import { routingOf } from "../service/config.ts";
import { type KeyName, keyNames } from "../service/config-keys.ts";
import { addSettings, databaseKeys, printJson, settingsOf, warn } from "./command.ts";
import { coloured, plain } from "./demo/rendering.ts";
import { auditObject, byHash, byItself, renderAudit } from "./verify/rendering.ts";
import { parseSince, parseSpan } from "./verify/spans.ts";

interface VerifyFlags {
  readonly topic: readonly string[];
  readonly duration: number;
  readonly since?: number;
  readonly messagesMax: number;
  readonly eventsMax: number;
  readonly ageMax: number;
  readonly duplicatesMax?: number;
  readonly isolation: Isolation;
  readonly foreign?: boolean;
  readonly hashIds?: boolean;
  readonly json?: boolean;
}

const verifyKeys: readonly KeyName[] = [
  ...databaseKeys,
  ...keyNames.filter((name) => name.startsWith("kafka") && !/Compression|RequestBytes/.test(name)),
  "topicTemplate",
  "topicDefault",
];

const minuteMs = 60_000;

export function verifyCommand(): Command {
  const command = new Command("verify")
    .description("Audit a running system: nothing missing, order, duplicates, age. Reads only, bounded.")
    .addOption(
      new Option("--topic <name>", "a topic to audit; repeat it for several; derived where left out")
        .argParser(collect)
        .default([], "derived"),
    )
    .addOption(
      new Option("--duration <span>", "how long to follow rows, 100ms to 1h")
        .argParser(span(100, 60 * minuteMs))
        .default(10_000, "10s"),
    )
    .option("--since <span|instant>", "judge records from here on: 15m, 2h, 2026-01-31T12:00:00Z", since)
    .option("--messages-max <count>", "most records to judge a partition", count(1, 10_000_000), 20_000)
    .option("--events-max <count>", "most rows to follow", count(1, 1_000_000), 10_000)
    .addOption(
      new Option("--age-max <span>", "rows that wait for longer are a fault")
        .argParser(span(0, 365 * 24 * 60 * minuteMs))
        .default(2 * minuteMs, "2m"),
    )
    .option(
      "--duplicates-max <count>",
      "more duplicates are a fault; any number is fine where left out",
      count(0, 1e9),
    )
    .addOption(
      new Option("--isolation <level>", "what a consumer would see")
        .choices(["read_committed", "read_uncommitted"])
        .default("read_committed"),
    )
    .option("--foreign", "others write to these topics, too: records without event_id are no fault")
    .option("--hash-ids", "show aggregate ids as hashes")
    .option("--json", "one JSON object");
  return addSettings(command, verifyKeys).action(() => verify(command));
}

async function verify(command: Command): Promise<void> {
  const { settings, warnings } = settingsOf(command, verifyKeys);
  warn(warnings);
  const flags = command.opts<VerifyFlags>();
  const { witness, reader, close } = composeAudit(settings);
  const progress = progressLine(process.stderr, flags.json !== true);
  try {
    const parts = {
      witness,
      reader,
      routing: routingOf(settings),
      clock: systemClock,
      onProgress: progress.show,
    };
    const audit = await runAudit(parts, choicesOf(flags));
    progress.clear();
    const tolerance = {
      duplicatesMax: flags.duplicatesMax ?? null,
      isForeignAllowed: flags.foreign === true,
    };
    const verdict = judgeAudit(audit, tolerance);
    const naming = flags.hashIds === true ? byHash : byItself;
    if (flags.json === true) printJson(auditObject(audit, verdict, naming));
    else process.stdout.write(renderAudit(audit, verdict, paletteOf(process.stdout), naming));
    if (verdict.code !== null) process.exitCode = new OutriderError(verdict.code, "").exitCode;
  } finally {
    progress.clear();
    await close();
  }
}

function choicesOf(flags: VerifyFlags): AuditChoices {
  return {
    topics: [...new Set(flags.topic)],
    durationMs: flags.duration,
    sinceMs: flags.since ?? null,
    messagesMax: flags.messagesMax,
    eventsMax: flags.eventsMax,
    ageMaxMs: flags.ageMax,
    isolation: flags.isolation,
    // As long again for an open transaction to end as the rows were followed.
    waitMsMax: flags.duration,
  };
}

const collect = (name: string, names: readonly string[]): string[] => [...names, name];

function count(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`A whole number from ${min} to ${max} is needed.`);
  };
}

function span(minMs: number, maxMs: number): (text: string) => number {
  return (text) => {
    const value = parseSpan(text);
    if (value !== undefined && value >= minMs && value <= maxMs) return value;
    throw new InvalidArgumentError(
      `A span such as 500ms, 10s, 15m or 2h is needed, ${minMs} to ${maxMs} ms.`,
    );
  };
}

function since(text: string): number {
  const instant = parseSince(text, systemClock.wallMs());
  if (instant !== undefined) return instant;
  throw new InvalidArgumentError(
    "A span such as 15m, or an instant such as 2026-01-31T12:00:00Z, is needed.",
  );
}

const paletteOf = (stream: NodeJS.WriteStream) =>
  stream.isTTY === true && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb"
    ? coloured
    : plain;

/** One line, rewritten, on a terminal; nothing anywhere else. */
function progressLine(stream: NodeJS.WriteStream, isWanted: boolean) {
  const write = (text: string) => {
    if (isWanted && stream.isTTY === true) stream.write(`\r\u001b[2K${text.slice(0, 78)}`);
  };
  return { show: write, clear: () => write("") };
}
