/** A row of the fault matrix, and how one is run. */
import { join } from "node:path";
import { messageOf } from "../../src/foundation/errors.ts";
import { boundTextUnder, type Delivery } from "./delivery.ts";
import type { Bounds, Outcome } from "./outcome.ts";
import type { Play } from "./play.ts";
import { Scene } from "./scene.ts";
import { Impossible, type Stage } from "./stage.ts";

export interface Row {
  readonly id: string;
  readonly title: string;
  /** What is expected, for the reader; what it says of duplicates is meant for at-least-once. */
  readonly bound: string;
  /** The modes it is run in; default all but at-most-once. */
  readonly under?: readonly Delivery[];
  readonly play?: Play;
  /** Parts of the row's own, started before it and stopped after it. */
  readonly prepare?: () => Promise<Preparation>;
  /** Does the harm; what it returns is what the judgement is held against. */
  readonly run: (scene: Scene) => Promise<Bounds>;
}

export interface Preparation {
  readonly play: Play;
  stop(): Promise<void>;
}

export interface RowResult extends Outcome {
  readonly id: string;
  readonly title: string;
  readonly bound: string;
  readonly seed: number;
  readonly seconds: number;
  /** What this machine lacks; the row was not run and does not count as passed. */
  readonly impossible?: string;
}

const nothing: Outcome = {
  ok: false,
  events: 0,
  missing: 0,
  phantom: 0,
  inversions: 0,
  gaps: 0,
  strays: 0,
  corrupted: 0,
  duplicates: 0,
  duplicatesMax: 0,
  recoveryMs: null,
  connectionsMax: 0,
  crashes: 0,
  violations: [],
  notes: [],
};

export const everyDelivery: readonly Delivery[] = ["at-least-once", "exactly-once", "at-most-once"];

export function isUnder({ under = ["at-least-once", "exactly-once"] }: Row, delivery: Delivery): boolean {
  return under.includes(delivery);
}

export interface RunOptions {
  readonly delivery?: Delivery;
  /** Where histories go. */
  readonly directory: string;
  readonly isShort?: boolean;
  /** Judge how long recoveries took. Default true; false where the row is a test. */
  readonly isTimed?: boolean;
}

/** Never rejects: whatever goes wrong is the row's result. The history is written out. */
export async function runRow(
  stage: Stage,
  row: Row,
  seed: number,
  { directory, delivery = "at-least-once", isShort = false, isTimed = true }: RunOptions,
): Promise<RowResult> {
  const { id, title, play = {} } = row;
  const bound = boundTextUnder(delivery, row.bound);
  const startedMs = performance.now();
  const conclude = (outcome: Outcome, impossible?: string): RowResult => ({
    ...{ id, title, bound, seed },
    ...outcome,
    seconds: Math.round((performance.now() - startedMs) / 1000),
    ...(impossible === undefined ? undefined : { impossible }),
  });
  let scene: Scene | undefined;
  let preparation: Preparation | undefined;
  try {
    preparation = await row.prepare?.();
    scene = await Scene.open(stage, id, seed, {
      ...play,
      ...preparation?.play,
      delivery,
      isShort,
      isTimed,
    });
    return conclude(await scene.finish(await row.run(scene)));
  } catch (error) {
    if (error instanceof Impossible)
      return conclude({ ...nothing, violations: [error.message] }, error.message);
    return conclude({ ...nothing, violations: [...(scene?.violations ?? []), messageOf(error)] });
  } finally {
    await stage.heal();
    await scene?.close();
    await preparation?.stop();
    await scene?.history.write(join(directory, `${id}.jsonl`));
  }
}
