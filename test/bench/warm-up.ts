/**
 * A broker fresh from its start has compiled next to nothing of what it does, and compiling takes the machine's
 * time from everybody: a third of a core, for minutes. No broker that anybody waits for is that young.
 */

import { rounded } from "../../src/foundation/figures.ts";
import { type Carrier, measureLatency } from "./latency-run.ts";
import { machineMs } from "./machine-clock.ts";
import type { Place, Stage } from "./stage.ts";

export type Say = (text: string) => void;

/** Share of a core that its compilers may still take. */
const restingShare = 0.05;
const roundsMax = 12;
/** On top of the seconds that no run counts. */
const roundSeconds = 5;

/** Repeats a load that is not counted, on copies of `template`, until the broker's compilers are done with it. */
export async function warmUp(
  stage: Stage,
  say: Say,
  template: string,
  load: Parameters<typeof measureLatency>[1],
  carry: (place: Place) => Carrier,
): Promise<void> {
  for (let round = 0; round < roundsMax; round += 1) {
    const [beforeMicros, startedMs] = [stage.compilerMicros(), machineMs()];
    await stage.within(template, (place) =>
      measureLatency(place, { ...load, seconds: roundSeconds }, () => carry(place)),
    );
    const share = (stage.compilerMicros() - beforeMicros) / ((machineMs() - startedMs) * 1_000);
    say(`warming up: the broker's compilers took ${rounded(share * 100)} % of a core`);
    if (share <= restingShare) return;
  }
}
