/**
 * What it costs to have nothing to do: the processor time of a carrier that waits for events, and what PostgreSQL
 * needs more than it does with nobody connected.
 */
import { systemClock } from "../../src/foundation/clock.ts";
import { rounded } from "../../src/foundation/figures.ts";
import { type Carrier, prime } from "./latency-run.ts";
import { machineMs } from "./machine-clock.ts";
import { processorMicros } from "./processor-time.ts";
import type { Place, Stage } from "./stage.ts";

/** Hundredths of one core. */
export interface IdleCost {
  readonly process: number;
  readonly postgres: number;
  /** Of the broker: fetches of nobody, its own chores, and whatever the carrier keeps asking it. */
  readonly kafka: number;
}

export interface IdleCosts<Side extends string> {
  readonly seconds: number;
  /** Of servers that nobody is connected to. */
  readonly nobody: Omit<IdleCost, "process">;
  readonly sides: Readonly<Partial<Record<Side, IdleCost>>>;
}

/** Of a process that has just worked: its garbage and its compilers have things left to do. */
const restSeconds = 30;
const measuredSeconds = 60;

export async function measureIdleCosts<Side extends string>(
  stage: Stage,
  template: string,
  sides: readonly Side[],
  carry: (side: Side, place: Place) => Carrier,
): Promise<IdleCosts<Side>> {
  const { process: _, ...nobody } = await costOf(stage, undefined);
  const costs: Partial<Record<Side, IdleCost>> = {};
  for (const side of sides) {
    costs[side] = await stage.within(template, async (place) => {
      const carrier = carry(side, place);
      try {
        await carrier.started;
        await prime(place, carrier);
        return await costOf(stage, await carrier.pid());
      } finally {
        await carrier.end();
      }
    });
  }
  return { seconds: measuredSeconds, nobody, sides: costs };
}

async function costOf(stage: Stage, pid: number | undefined): Promise<IdleCost> {
  const spent = () => ({
    ...stage.processorMicros(),
    process: pid === undefined ? 0 : processorMicros(pid),
    ms: machineMs(),
  });
  await systemClock.sleep(restSeconds * 1_000);
  const before = spent();
  await systemClock.sleep(measuredSeconds * 1_000);
  const after = spent();
  const percent = (part: "process" | "postgres" | "kafka") =>
    rounded((after[part] - before[part]) / (after.ms - before.ms) / 10, 2);
  return { process: percent("process"), postgres: percent("postgres"), kafka: percent("kafka") };
}
