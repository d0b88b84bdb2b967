/**
 * Benchmarks: `npm run bench -- exactly-once | drain | latency [--json] [--write]`. Each has its reference
 * beside it, in the same run and turn by turn, because a figure alone says more about the machine than
 * about the relay.
 */
import { messageOf } from "../../src/foundation/errors.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { benchExactlyOnce, type Say } from "./exactly-once.ts";
import { describeMachine, loadNow } from "./machine.ts";
import { type BenchOptions, readOptions } from "./options.ts";
import { Stage } from "./stage.ts";

const benchmarks: Readonly<
  Record<string, (stage: Stage, options: BenchOptions, say: Say) => Promise<object>>
> = {
  "exactly-once": benchExactlyOnce,
};

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  const benchmark = benchmarks[options.name];
  if (benchmark === undefined) {
    process.stderr.write(`say which: ${Object.keys(benchmarks).join(", ")}\n`);
    process.exitCode = 2;
    return;
  }
  const say: Say = (text) => process.stderr.write(`${text}\n`);
  const loadBefore = loadNow();
  const stage = await Stage.open((text) => say(`${text} ...`));
  try {
    const figures = await benchmark(stage, options, say);
    const machine = await describeMachine(stage, loadBefore);
    process.stdout.write(`${JSON.stringify({ bench: options.name, ...figures, machine })}\n`);
  } finally {
    await RelayProcess.endAll();
    await stage.close();
  }
}

main().catch((error) => {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
});
