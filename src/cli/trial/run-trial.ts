/** What every command has around it that tries things out on real parts: an early end, and nothing left behind. */
import { type Clock, systemClock } from "../../foundation/clock.ts";
import type { PartTools } from "./real-parts.ts";
import { interrupted, listenToSignals } from "./signals.ts";
import { UndoList } from "./undo-list.ts";

export interface TrialTools<Progress extends PartTools["progress"] = PartTools["progress"]>
  extends PartTools {
  readonly progress: Progress;
  readonly clock: Clock;
  /** Aborts when a person ends the run. */
  readonly ending: AbortController;
}

/** Undoes what `attempt` has put on the list, however it ends. @throws what it throws, unless a person has ended it. */
export async function runTrial<Progress extends PartTools["progress"]>(
  progress: Progress,
  attempt: (tools: TrialTools<Progress>) => Promise<void>,
): Promise<void> {
  const undoList = new UndoList();
  const { ending, release } = listenToSignals(progress);
  try {
    await attempt({ clock: systemClock, progress, undoList, environment: process.env, ending });
  } catch (error) {
    // What fails because everything is being ended is no news to the person who asked for the end.
    if (ending.signal.reason !== interrupted) throw error;
  } finally {
    for (const failure of await undoList.undoAll()) progress.say(failure);
    release();
  }
}
