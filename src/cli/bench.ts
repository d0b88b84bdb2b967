/** `outrider bench`: what a relay makes of these servers, beside the loop that one writes in an afternoon. */
import { Command } from "commander";
import { systemClock } from "../foundation/clock.ts";
import { type BenchOptions, runBench } from "./bench/bench-run.ts";
import { runLoop } from "./bench/loop.ts";
import { renderBench } from "./bench/rendering.ts";
import { printJson } from "./command.ts";
import { runTrial } from "./trial/run-trial.ts";
import { wholeNumber } from "./trial/whole-number.ts";

type BenchFlags = BenchOptions & { readonly json?: boolean };

export function benchCommand(): Command {
  const command = new Command("bench").description(
    "Measure a relay on these servers: a backlog, then latency; beside it, turn by turn, the loop that selects, sends and deletes.",
  );
  return command
    .option("--events <number>", "rows of the backlog, 100 to 10000000", wholeNumber(100, 10_000_000), 50_000)
    .option("--aggregates <number>", "aggregates they share, 1 to 1000000", wholeNumber(1, 1_000_000), 1_000)
    .option("--bytes <number>", "size of a payload, 50 to 100000", wholeNumber(50, 100_000), 300)
    .option(
      "--rate <number>",
      "events a second while latency is measured, 1 to 20000",
      wholeNumber(1, 20_000),
      1_000,
    )
    .option("--seconds <number>", "how long latency is measured, 1 to 3600", wholeNumber(1, 3_600), 10)
    .option("--rounds <number>", "how often each takes its turn, 1 to 100", wholeNumber(1, 100), 3)
    .option("--json", "one JSON object on standard output, all else on standard error")
    .addHelpText(
      "after",
      "\nUses the servers in DATABASE_URL and KAFKA_BROKERS where these are set, and starts its own otherwise. The relay\nhas the settings of the environment. Everything that is created is removed: databases and topics of its own.",
    )
    .action(() => measure(command.opts<BenchFlags>()));
}

/** Not for people: `bench` runs it as a process of its own. */
export function benchLoopCommand(): Command {
  return new Command("bench-loop").action(() => runLoop(process.env, systemClock));
}

async function measure({ json = false, ...options }: BenchFlags): Promise<void> {
  const stream = json ? process.stderr : process.stdout;
  const progress = { say: (text: string) => void stream.write(`${text}\n`) };
  await runTrial(progress, async (tools) => {
    const figures = await runBench(options, tools);
    stream.write(renderBench(figures));
    if (json) printJson(figures);
  });
}
