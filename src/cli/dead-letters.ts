/** The Dead Letter Channel for a person: look at what was given up, put it back, or drop it for ever. */
import { Command, InvalidArgumentError } from "commander";
import type { RejectionReason } from "../event/delivery.ts";
import { rejectionReasons } from "../event/delivery.ts";
import { OutriderError } from "../foundation/errors.ts";
import {
  type DeadLetter,
  type DeadLetterChannel,
  type DeadLetterContent,
  type DeadLetterFilter,
  moveAll,
} from "../outbox/dead-letter-channel.ts";
import { composeDeadLetters } from "../service/compose.ts";
import type { KeyName } from "../service/config-keys.ts";
import { addSettings, databaseKeys, printJson, settingsOf, warn } from "./command.ts";

interface Flags {
  readonly id?: readonly string[];
  readonly aggregate?: string;
  readonly all?: boolean;
  readonly reason?: RejectionReason;
  readonly topic?: string;
  readonly since?: string;
  readonly limit?: number;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** The rules for topics too: `--topic` means the topic that an event would go to. */
const keys: readonly KeyName[] = [...databaseKeys, "topicTemplate", "topicDefault"];
const listedDefault = 100;
/** Letters in one statement: short transactions, which hold the fence back only for a moment. */
const lettersMax = 500;

export function deadLettersCommand(): Command {
  const command = new Command("dead-letters").description(
    "Events that the relay gave up on (OUTRIDER_REJECTED=dead-letter): list, show, redrive, discard.",
  );
  for (const sub of [listCommand(), showCommand(), redriveCommand(), discardCommand()])
    command.addCommand(addSettings(sub.option("--json", "one JSON object"), keys));
  return command;
}

function listCommand(): Command {
  const command = addFilters(new Command("list"))
    .description("What was given up and why, in the order of the events; no payloads.")
    .option("--limit <letters>", `most letters to list; default ${listedDefault}`, parseCount);
  return command.action(() =>
    withChannel(command, async (channel, flags) => {
      const limit = flags.limit ?? listedDefault;
      const found = await channel.list(filterOf(flags), { after: undefined, lettersMax: limit + 1 });
      const letters = found.slice(0, limit);
      const isMore = found.length > limit;
      if (flags.json === true) printJson({ letters, isMore });
      else process.stdout.write(renderList(letters, isMore));
    }),
  );
}

function showCommand(): Command {
  const command = new Command("show")
    .description("One dead letter with its headers and its payload.")
    .requiredOption("--id <event-id>", "which one", parseId);
  return command.action(() =>
    withChannel(command, async (channel) => {
      const { id, json } = command.opts<{ id: string; json?: boolean }>();
      const letter = await channel.find(id);
      if (letter === undefined) throw missing(id);
      if (json === true) printJson(shownContent(letter));
      else process.stdout.write(renderContent(letter));
    }),
  );
}

function redriveCommand(): Command {
  const command = addChoice(new Command("redrive")).description(
    "Put dead letters back into the outbox, in their old order, with the same event_id and a new created_at.",
  );
  return command.action(() =>
    withChannel(command, (channel, flags) => move(command, "redrive", channel, flags)),
  );
}

function discardCommand(): Command {
  const command = addChoice(new Command("discard"))
    .description("Delete dead letters for ever: they were never published.")
    .option("--yes", "really; without it nothing is deleted");
  return command.action(() =>
    withChannel(command, (channel, flags) => move(command, "discard", channel, flags)),
  );
}

async function move(
  command: Command,
  verb: "redrive" | "discard",
  channel: DeadLetterChannel,
  flags: Flags,
): Promise<void> {
  const ways = [flags.id, flags.aggregate, flags.all].filter((way) => way !== undefined);
  if (ways.length !== 1) command.error("error: say which ones: --id, --aggregate or --all, one of the three");
  if (verb === "discard" && flags.yes !== true)
    command.error(
      "error: discarded events are lost for ever: add --yes, or see them first with dead-letters list",
    );
  const totals = await moveAll(channel, verb, filterOf(flags), lettersMax);
  if (flags.json === true) printJson(totals);
  else process.stdout.write(renderMoved(verb, totals));
  const [id] = flags.id ?? [];
  if (id !== undefined && totals.moved + totals.left === 0) throw missing(id);
}

function addFilters(command: Command): Command {
  return command
    .option("--id <event-id...>", "these events", (text, before: readonly string[] = []) => [
      ...before,
      parseId(text),
    ])
    .option("--aggregate <id>", "the events of this aggregate")
    .option("--reason <reason>", `only this reason: ${rejectionReasons.join(", ")}`, parseReason)
    .option("--topic <topic>", "only events that go to this topic")
    .option("--since <time>", "only what died since then: ISO 8601, such as 2026-01-31T12:00:00Z", parseTime);
}

function addChoice(command: Command): Command {
  return addFilters(command).option("--all", "all of them that the other filters let pass");
}

function filterOf({ id, aggregate, reason, topic, since }: Flags): DeadLetterFilter {
  return {
    ...(id === undefined ? undefined : { eventIds: id }),
    ...(aggregate === undefined ? undefined : { aggregateId: aggregate }),
    ...(reason === undefined ? undefined : { reason }),
    ...(topic === undefined ? undefined : { topic }),
    ...(since === undefined ? undefined : { since }),
  };
}

async function withChannel(
  command: Command,
  work: (channel: DeadLetterChannel, flags: Flags) => Promise<void>,
): Promise<void> {
  const { settings, warnings } = settingsOf(command, keys);
  warn(warnings);
  const { channel, close } = composeDeadLetters(settings);
  try {
    await work(channel, command.opts<Flags>());
  } finally {
    await close();
  }
}

function missing(id: string): OutriderError {
  return new OutriderError("DEAD_LETTER_MISSING", `there is no dead letter ${id}`, {
    repair: "outrider dead-letters list shows those that there are",
  });
}

function parseId(text: string): string {
  if (/^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError("an event_id (a UUID) is needed");
}

function parseReason(text: string): string {
  if ((rejectionReasons as readonly string[]).includes(text)) return text;
  throw new InvalidArgumentError(`one of ${rejectionReasons.join(", ")} is needed`);
}

/** A time without a zone would mean another moment on every machine. */
function parseTime(text: string): string {
  if (
    /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text) &&
    !Number.isNaN(Date.parse(text))
  )
    return text;
  throw new InvalidArgumentError("a time with its zone is needed, such as 2026-01-31T12:00:00Z");
}

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 100_000) return count;
  throw new InvalidArgumentError("a whole number from 1 to 100000 is needed");
}

function renderList(letters: readonly DeadLetter[], isMore: boolean): string {
  if (letters.length === 0) return "no dead letters\n";
  const lines = letters.map(
    ({ eventId, aggregateId, deadAt, reason, attempts, message }) =>
      `${eventId}  ${deadAt}  ${reason}  aggregate ${JSON.stringify(aggregateId)}, ${attempts} rejection(s)\n    ${message}`,
  );
  return `${[...lines, ...(isMore ? ["there are more: --limit shows them"] : [])].join("\n")}\n`;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Bytes that are no text are shown in base64, and said to be. */
function shownContent({ payload, headers, ...letter }: DeadLetterContent) {
  const shown = { ...letter, headers: headers === null ? null : (JSON.parse(headers) as unknown) };
  if (typeof payload === "string") return { ...shown, payload, payloadEncoding: "utf-8" };
  try {
    return { ...shown, payload: utf8.decode(payload), payloadEncoding: "utf-8" };
  } catch {
    return { ...shown, payload: Buffer.from(payload).toString("base64"), payloadEncoding: "base64" };
  }
}

function renderContent(letter: DeadLetterContent): string {
  const { payload, payloadEncoding, ...shown } = shownContent(letter);
  const lines = Object.entries(shown).map(
    ([name, value]) => `${name.padEnd(14)}${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return `${lines.join("\n")}\npayload (${payloadEncoding})\n${payload}\n`;
}

function renderMoved(verb: "redrive" | "discard", { moved, left }: { moved: number; left: number }): string {
  const done = verb === "redrive" ? "put back into the outbox" : "deleted for ever";
  const rest = left === 0 ? "" : `; ${left} left alone: in the outbox already, or moved by someone else`;
  return `${moved} dead letter(s) ${done}${rest}\n`;
}
