/**
 * Runs the simulation from the command line:
 *
 *     npm run simulate -- --runs 2000 --seed 7            the real core, which has to hold
 *     npm run simulate -- --runs 2000 --mutant all        every mutant, which has to be caught
 *     npm run simulate -- --seed 7 --path 84:4:14         one scenario again, with what it broke
 *
 * The last line is JSON with `--json`. Ends with 1 when the core broke a law or a mutant got away.
 */
import { parseArgs } from "node:util";
import { describeScenario, type Found, hunt, type Quarry } from "./hunt.ts";
import { mutants } from "./mutants.ts";
import type { Mutant } from "./relay-under-test.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "1000" },
    seed: { type: "string" },
    mutant: { type: "string" },
    path: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new Error(`--${name} ${text}: a whole number is needed`);
}

function chosenMutants(name: string | undefined): readonly Mutant[] {
  if (name === undefined) return [];
  const chosen = mutants.filter((mutant) => name === "all" || mutant.name === name);
  if (chosen.length > 0) return chosen;
  throw new Error(`--mutant ${name}: "all" or one of ${mutants.map((mutant) => mutant.name).join(", ")}`);
}

const say = (text: string): boolean => process.stdout.write(`${text}\n`);

function tell(who: string, { seed, runs, durationMs, events, duplicates, found }: Quarry): void {
  const speed = `${Math.round(durationMs)} ms, ${runsPerMinute(runs, durationMs)} runs a minute`;
  if (found === undefined)
    say(`${who}: every law held in ${runs} runs (${events} events, ${duplicates} duplicates; ${speed})`);
  else say(`${who}: ${told(found)}\nagain: --seed ${seed} --path ${found.path}`);
}

const told = ({ runsNeeded, violations, shortest }: Found): string =>
  `broken after ${runsNeeded} run(s)\n${violations.map(({ law, detail }) => `  "${law}": ${detail}`).join("\n")}\n${describeScenario(shortest)}`;

const runsPerMinute = (runs: number, durationMs: number): number => Math.round((runs * 60_000) / durationMs);

async function main(): Promise<void> {
  const seed = values.seed === undefined ? Math.floor(Math.random() * 1e6) : wholeNumber("seed", values.seed);
  const runs = wholeNumber("runs", values.runs);
  const chosen = chosenMutants(values.mutant);
  const path = values.path === undefined ? {} : { path: values.path };
  say(`seed ${seed}`);
  const core = chosen.length === 0 ? await hunt({ seed, runs, ...path }) : undefined;
  if (core !== undefined) tell("the core", core);
  const caught = [];
  for (const mutant of chosen) {
    const quarry = await hunt({ seed, runs, mutant, ...path });
    tell(mutant.name, quarry);
    const { found } = quarry;
    caught.push({
      name: mutant.name,
      caught: found !== undefined,
      runsNeeded: found?.runsNeeded ?? null,
      shortest: found === undefined ? null : describeScenario(found.shortest),
    });
  }
  const failures =
    core?.found === undefined ? [] : [{ path: core.found.path, violations: core.found.violations }];
  const summary = {
    runs: core?.runs ?? 0,
    runsPerMinute: core === undefined ? 0 : runsPerMinute(core.runs, core.durationMs),
    seed,
    failures,
    mutants: caught,
  };
  if (values.json) say(JSON.stringify(summary));
  process.exitCode = failures.length > 0 || caught.some((mutant) => !mutant.caught) ? 1 : 0;
}

await main();
