import { Command } from "commander";
import { isoOfMicros, type Micros } from "../event/position.ts";
import { slotCount } from "../event/shard.ts";
import { OutriderError } from "../foundation/errors.ts";
import type { Backlog, Fault, Look, OpenWriter, Outbox, WriterDescription } from "../outbox/outbox.ts";
import { composeOutbox } from "../service/compose.ts";
import { addSettings, databaseKeys, printJson, settingsOf, warn } from "./command.ts";

/** Rows counted at most; a larger backlog is said as "more than". */
const countMax = 1_000_000;

interface ShownWriter {
  readonly transaction: string;
  readonly pid: number | null;
  readonly application: string | null;
  readonly openForMs: number | null;
  /** It holds back these alone; null: all of them. */
  readonly slots: readonly number[] | null;
}

interface Status {
  readonly backlog: Backlog & { readonly isMore: boolean };
  /** What a claim would be held below; null when an open transaction's start cannot be seen. */
  readonly fence: string | null;
  readonly fenceLagMs: number | null;
  readonly writers: readonly ShownWriter[];
  readonly faults: readonly Fault[];
}

export function statusCommand(): Command {
  const command = new Command("status").description(
    "Backlog, its oldest age, the fence, and the open transactions that hold it.",
  );
  command.option("--json", "one JSON object");
  return addSettings(command, databaseKeys).action(async () => {
    const { settings, warnings } = settingsOf(command, databaseKeys);
    warn(warnings);
    const outbox = composeOutbox(settings);
    try {
      const status = await readStatus(outbox);
      if (command.opts<{ json?: boolean }>().json === true) printJson(status);
      else process.stdout.write(render(status));
      if (status.faults.length > 0) process.exitCode = new OutriderError("OUTBOX_UNFIT", "").exitCode;
    } finally {
      await outbox.close();
    }
  });
}

async function readStatus(outbox: Outbox): Promise<Status> {
  const faults = await outbox.inspect();
  const unreadable = faults.find(({ code }) =>
    ["table-missing", "columns-missing", "rights-missing"].includes(code),
  );
  if (unreadable !== undefined)
    throw new OutriderError("OUTBOX_UNFIT", unreadable.message, { repair: unreadable.repair });
  const look = await outbox.look();
  const described = await outbox.describeWriters(
    look.writers.flatMap(({ pid }) => (pid === null ? [] : [pid])),
  );
  const backlog = await outbox.backlog(countMax);
  return {
    backlog: { ...backlog, isMore: backlog.events === countMax },
    ...fenceOf(look),
    writers: look.writers.map((writer) => showWriter(writer, described, look.clock)),
    faults,
  };
}

function showWriter(
  { id: transaction, pid, startedAt, slots }: OpenWriter,
  described: readonly WriterDescription[],
  clock: Micros,
): ShownWriter {
  return {
    transaction,
    pid,
    application: described.find((writer) => writer.pid === pid)?.application ?? null,
    openForMs: startedAt === null ? null : Math.max(0, Math.round((clock - startedAt) / 1000)),
    slots,
  };
}

/** The fence that a relay which starts now would see where it is lowest: the start of the oldest open writer, or the clock. */
function fenceOf({ clock, writers }: Look): Pick<Status, "fence" | "fenceLagMs"> {
  let fence = clock;
  for (const { startedAt } of writers) {
    if (startedAt === null) return { fence: null, fenceLagMs: null };
    fence = Math.min(fence, startedAt);
  }
  return { fence: isoOfMicros(fence), fenceLagMs: Math.round((clock - fence) / 1000) };
}

function render({ backlog, fence, fenceLagMs, writers, faults }: Status): string {
  const age = backlog.oldestAgeMs === null ? "" : `, the oldest for ${seconds(backlog.oldestAgeMs)}`;
  const lines = [
    `backlog  ${backlog.isMore ? "more than " : ""}${backlog.events} event(s)${age}`,
    fence === null || fenceLagMs === null
      ? "fence    unknown: an open transaction began before anyone could look"
      : `fence    ${fence} (${fenceLagMs === 0 ? "nobody holds it" : `${seconds(fenceLagMs)} behind`})`,
    ...writers.map(
      ({ pid, application, openForMs, slots }) =>
        `writer   pid ${pid ?? "none (prepared)"}${application === null || application === "" ? "" : ` (${application})`}, open for ${openForMs === null ? "an unknown time" : seconds(openForMs)}${slots === null ? "" : `, holds ${slots.length} of ${slotCount} slots`}`,
    ),
    ...faults.map(({ message, repair }) => `fault    ${message}\n         repair: ${repair}`),
  ];
  return `${lines.join("\n")}\n`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 3 : 0)} s`;
}
