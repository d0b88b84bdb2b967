/** `outrider top`: what happens in the outbox, live. */
import { Command, InvalidArgumentError, Option } from "commander";
import { systemClock } from "../foundation/clock.ts";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import type { Overview, Sample } from "../outbox/overview.ts";
import { composeOverview } from "../service/compose-doctor.ts";
import { addSettings, databaseKeys, printJson, settingsOf, warn } from "./command.ts";
import { coloured, plain } from "./demo/rendering.ts";
import { extended, noHistory, type Rates, ratesBetween } from "./top/rates.ts";
import { renderView, type View } from "./top/rendering.ts";
import { Screen } from "./top/screen.ts";
import { parseSpan } from "./verify/spans.ts";

interface TopFlags {
  readonly interval: number;
  readonly once?: boolean;
  readonly json?: boolean;
}

/** What `--once` waits between its two samples: PostgreSQL publishes its statistics about once a second. */
const onceMs = 1_500;

export function topCommand(): Command {
  const command = new Command("top")
    .description(
      "Watch the outbox: backlog, rates, relays and their shards, what is blocked, who holds the fence.",
    )
    .addOption(
      new Option("--interval <span>", "between two looks, 100ms to 1h")
        .argParser(parseInterval)
        .default(2_000, "2s"),
    )
    .option("--once", "one page, from two looks, and end")
    .option("--json", "one JSON object a look");
  return addSettings(command, databaseKeys).action(() => run(command));
}

async function run(command: Command): Promise<void> {
  const flags = command.opts<TopFlags>();
  const { settings, warnings } = settingsOf(command, databaseKeys);
  warn(warnings);
  const overview = composeOverview(settings);
  const ended = new AbortController();
  const end = () => ended.abort();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, end);
  const screen = new Screen(process.stdout);
  const restore = () => screen.close();
  process.on("exit", restore);
  // A reader that has gone (`| head`) ends the watching, not the terminal.
  process.stdout.on("error", end);
  try {
    const show = flags.json === true ? showJson : showOn(screen, settings.schema, flags);
    if (flags.once === true) await watchOnce(overview, show, ended.signal);
    else await watch(overview, flags.interval, show, ended.signal);
  } finally {
    restore();
    process.off("exit", restore);
    process.stdout.off("error", end);
    for (const signal of signals) process.off(signal, end);
    await overview.close();
  }
}

type Show = (sample: Sample, rates: Rates, trouble?: string) => void;

const showJson: Show = (sample, rates, trouble) => {
  printJson(trouble === undefined ? { ...sample, ...rates } : { trouble });
};

/** The page of `--once` stays where it is printed, so it is not drawn on the second screen. */
function showOn(screen: Screen, schema: string, { interval: intervalMs, once }: TopFlags): Show {
  const isColoured = screen.isTerminal && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb";
  let history = noHistory;
  return (sample, rates, trouble) => {
    if (trouble === undefined) history = extended(history, rates, sample);
    const view: View = {
      sample,
      rates,
      history,
      schema,
      intervalMs,
      ...(trouble === undefined ? undefined : { trouble }),
    };
    const page = renderView(view, isColoured ? coloured : plain, screen.columns, screen.rows);
    if (once === true) screen.print(page);
    else screen.show(page);
  };
}

async function watchOnce(overview: Overview, show: Show, signal: AbortSignal): Promise<void> {
  const before = await overview.sample();
  await systemClock.sleep(onceMs, signal);
  const now = signal.aborted ? before : await overview.sample();
  show(now, ratesBetween(before, now));
}

/** Until the signal. A database that goes away is waited for, with the last figures in view. */
async function watch(overview: Overview, intervalMs: number, show: Show, signal: AbortSignal): Promise<void> {
  let last: Sample | undefined;
  while (!signal.aborted) {
    try {
      const sample = await overview.sample();
      show(sample, ratesBetween(last, sample));
      last = sample;
    } catch (error) {
      if (last === undefined || !(error instanceof OutriderError) || !error.retriable) throw error;
      show(last, { writtenPerSecond: null, removedPerSecond: null }, messageOf(error));
    }
    await systemClock.sleep(intervalMs, signal);
  }
}

function parseInterval(text: string): number {
  const value = parseSpan(text);
  if (value !== undefined && value >= 100 && value <= 3_600_000) return value;
  throw new InvalidArgumentError("A span such as 500ms, 2s or 1m is needed, 100ms to 1h.");
}
