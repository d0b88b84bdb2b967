/** `outrider demo`: the whole way from a transaction to a consumer, on real parts, audited. */
import { Command, Option } from "commander";
import { systemClock } from "../foundation/clock.ts";
import { OutriderError } from "../foundation/errors.ts";
import { type DemoOptions, runDemo } from "./demo/demo-run.ts";
import { Progress } from "./demo/progress.ts";
import { isKept, jsonOutcome, renderOutcome } from "./demo/rendering.ts";
import { seedMax } from "./demo/seeded-random.ts";
import type { Destination } from "./trial/real-parts.ts";
import { runTrial } from "./trial/run-trial.ts";
import { wholeNumber } from "./trial/whole-number.ts";

interface DemoFlags {
  readonly events: number;
  readonly writers: number;
  readonly aggregates: number;
  readonly relays: number;
  readonly seed?: number;
  readonly to?: Destination;
  readonly json?: boolean;
}

export function demoCommand(): Command {
  const command = new Command("demo").description(
    "Write with many concurrent transactions, relay, consume, and audit every promise, on real parts.",
  );
  return command
    .option("--events <number>", "events to commit, 1 to 5000000", wholeNumber(1, 5_000_000), 20_000)
    .option("--writers <number>", "concurrent connections that write, 1 to 80", wholeNumber(1, 80), 16)
    .option("--aggregates <number>", "aggregates they share, 1 to 100000", wholeNumber(1, 100_000), 50)
    .option(
      "--relays <number>",
      "relays that share the outbox, 1 to 4; more than one need Kafka",
      wholeNumber(1, 4),
      1,
    )
    .option(
      "--seed <number>",
      `repeats the writers of an earlier run, 0 to ${seedMax}; random by default`,
      wholeNumber(0, seedMax),
    )
    .addOption(
      new Option("--to <where>", "kafka by default, or stdout where no Kafka can be had").choices([
        "kafka",
        "stdout",
      ]),
    )
    .option("--json", "one JSON object on standard output, all else on standard error")
    .addHelpText(
      "after",
      "\nUses the servers in DATABASE_URL and KAFKA_BROKERS where these are set, and starts its own otherwise.\nEverything it creates, it removes: a database and topics of its own.",
    )
    .action(async () => {
      const flags = command.opts<DemoFlags>();
      // Each relay has a standard output of its own, and between two of them there is no order to audit.
      if (flags.relays > 1 && flags.to === "stdout") command.error("error: several --relays need --to kafka");
      await demonstrate(flags);
    });
}

async function demonstrate(flags: DemoFlags): Promise<void> {
  const stream = flags.json === true ? process.stderr : process.stdout;
  const progress = new Progress(stream, systemClock, process.env);
  const { events, writers, aggregates, relays, to, seed = Math.floor(Math.random() * (seedMax + 1)) } = flags;
  const options: DemoOptions = { events, writers, aggregates, relays, seed, to: relays > 1 ? "kafka" : to };
  await runTrial(progress, async (tools) => {
    const outcome = await runDemo(options, tools);
    stream.write(renderOutcome(outcome, progress.palette));
    if (flags.json === true) process.stdout.write(`${jsonOutcome(outcome)}\n`);
    if (!isKept(outcome)) process.exitCode = new OutriderError("PROMISE_BROKEN", "").exitCode;
  });
}
