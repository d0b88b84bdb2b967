/**
 * Benchmarks: `npm run bench -- drain | exactly-once | latency | open-writers | writers | scale | bloat |
 * look [--peers] [--json] [--write]`. Each has its reference beside it, in the same run and turn by turn, because a
 * figure alone says more about the machine than about the relay. The last line is one JSON object with `--json`,
 * else a page to read.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { messageOf } from "../../src/foundation/errors.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { benchBloat } from "./bloat.ts";
import { benchDrain } from "./drain.ts";
import { benchExactlyOnce } from "./exactly-once.ts";
import { benchLatency } from "./latency.ts";
import { benchLook } from "./look.ts";
import { describeMachine, loadNow } from "./machine.ts";
import { benchOpenWriters } from "./open-writers.ts";
import { type BenchOptions, readOptions } from "./options.ts";
import { renderPage } from "./page.ts";
import { type Presentation, presentDrain, presentExactlyOnce, presentLatency } from "./pages.ts";
import { presentBloat, presentLook, presentScale } from "./pages-growth.ts";
import { presentOpenWriters, presentWriters } from "./pages-writers.ts";
import { plotBars } from "./plot.ts";
import { benchScale } from "./scale.ts";
import { Stage } from "./stage.ts";
import type { Say } from "./warm-up.ts";
import { benchWriters } from "./writers.ts";

interface Measured {
  readonly figures: object;
  readonly presentation: Presentation;
}

type Bench = (stage: Stage, options: BenchOptions, say: Say) => Promise<Measured>;

function bench<F extends object>(
  measure: (stage: Stage, options: BenchOptions, say: Say) => Promise<F>,
  present: (figures: F) => Presentation,
): Bench {
  return async (stage, options, say) => {
    const figures = await measure(stage, options, say);
    return { figures, presentation: present(figures) };
  };
}

const benches: Readonly<Record<string, Bench>> = {
  drain: bench(benchDrain, presentDrain),
  "exactly-once": bench(benchExactlyOnce, presentExactlyOnce),
  latency: bench(benchLatency, presentLatency),
  "open-writers": bench(benchOpenWriters, presentOpenWriters),
  writers: bench(benchWriters, presentWriters),
  scale: bench(benchScale, presentScale),
  bloat: bench(benchBloat, presentBloat),
  look: bench(benchLook, presentLook),
};

const pages = fileURLToPath(new URL("../../docs/bench/", import.meta.url));

async function main(args: readonly string[]): Promise<void> {
  const options = readOptions(args);
  const chosen = benches[options.name];
  if (chosen === undefined) {
    process.stderr.write(`say which: ${Object.keys(benches).join(", ")}\n`);
    process.exitCode = 2;
    return;
  }
  const say: Say = (text) => process.stderr.write(`${text}\n`);
  const loadBefore = loadNow();
  const stage = await Stage.open(options.isWithPeers, (text) => say(`${text} ...`));
  try {
    const { figures, presentation: whole } = await chosen(stage, options, say);
    const presentation = named(whole, options.only);
    const machine = await describeMachine(stage, loadBefore, options.isWithPeers);
    const command = `npm run bench -- ${args.filter((arg) => arg !== "--json").join(" ")}`;
    const page = renderPage(presentation.page, machine, command);
    const json = JSON.stringify({ bench: options.name, ...figures, machine });
    // A part of a benchmark has a page of its own, and leaves those of the other parts alone.
    const name = [options.name, ...options.only].join("-");
    if (options.isWritten) await write(name, page, json, presentation);
    process.stdout.write(options.isJson ? `${json}\n` : page);
  } finally {
    await RelayProcess.endAll();
    await stage.close();
  }
}

/** Of a part of a benchmark: with plots of its own beside those of the whole. */
function named({ page, plots }: Presentation, only: readonly string[]): Presentation {
  const nameOf = (plot: string) => [plot, ...only].join("-");
  return {
    page: { ...page, plots: page.plots.map(nameOf) },
    plots: Object.fromEntries(Object.entries(plots).map(([plot, shown]) => [nameOf(plot), shown])),
  };
}

async function write(name: string, page: string, json: string, { plots }: Presentation): Promise<void> {
  await mkdir(pages, { recursive: true });
  await writeFile(`${pages}${name}.md`, page);
  await writeFile(`${pages}${name}.json`, `${json}\n`);
  for (const [plot, shown] of Object.entries(plots)) await writeFile(`${pages}${plot}.svg`, plotBars(shown));
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
});
