/** Starts references, and reads off what they cost. */
import { once } from "node:events";
import { answerOf, type Carrier, child } from "./latency-run.ts";
import { processorMicros } from "./processor-time.ts";
import type { ReferenceDone, ReferenceKind, ReferenceOrder } from "./reference.ts";
import type { Backlog, Place, Stage } from "./stage.ts";

export interface ReferenceFigures {
  readonly eventsPerSecond: number;
  readonly microsPerEvent: { readonly process: number; readonly postgres: number; readonly kafka: number };
}

const drainTimeoutMs = 240_000;

export async function drainWithReference(
  stage: Stage,
  place: Place,
  backlog: Backlog,
  kind: ReferenceKind,
): Promise<ReferenceFigures> {
  const running = child("reference.ts");
  const pid = running.pid ?? -1;
  try {
    running.send({ kind, place, backlog } satisfies ReferenceOrder);
    await answerOf(running, kind);
    const before = { ...stage.processorMicros(), process: processorMicros(pid) };
    const { seconds } = await answerOf<ReferenceDone>(running, kind, drainTimeoutMs);
    // It has said its last word and ends; until we have asked for it, /proc keeps its line.
    const after = { ...stage.processorMicros(), process: processorMicros(pid) };
    const perEvent = (part: "process" | "postgres" | "kafka") =>
      (after[part] - before[part]) / backlog.events;
    return {
      eventsPerSecond: backlog.events / seconds,
      microsPerEvent: {
        process: perEvent("process"),
        postgres: perEvent("postgres"),
        kafka: perEvent("kafka"),
      },
    };
  } finally {
    running.kill("SIGKILL");
  }
}

/** The loop of an afternoon, carrying events until it is ended. */
export function carryWithLoop(place: Place): Carrier {
  const running = child("reference.ts");
  const started = answerOf(running, "the loop");
  const ended = once(running, "exit");
  running.send({ kind: "loop", place } satisfies ReferenceOrder);
  return {
    started,
    pid: async () => running.pid ?? -1,
    end: () => {
      running.kill("SIGKILL");
      return ended;
    },
  };
}
