/**
 * The broken twins of exactly-once. Each is the relay itself with one rule taken out, under a harm that
 * hurts it every time; the relay as it is goes through the same harm first, and must pass.
 */
import { join } from "node:path";
import { progressUpTo } from "../../src/event/acknowledgement.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { messageOf } from "../../src/foundation/errors.ts";
import { KafkaProgress } from "../../src/publisher/kafka-progress.ts";
import type { RunningRelay } from "../support/running-relay.ts";
import { changed } from "./changed.ts";
import type { MutantOptions } from "./mutants.ts";
import { doubling, losing, reusing } from "./once-desks.ts";
import {
  Harm,
  loseSend,
  strikeOnce,
  type Trial,
  takeOverAfterCommit,
  takeOverBeforeCommit,
} from "./once-harms.ts";
import { type Change, type OnceOptions, onceRelay } from "./once-relay.ts";
import type { Outcome } from "./outcome.ts";
import type { MutantResult } from "./report.ts";
import { proxyOf } from "./rows-kafka.ts";
import { Scene } from "./scene.ts";
import type { Stage } from "./stage.ts";

export interface OnceMutant {
  readonly name: string;
  readonly change: (harm: Harm) => Change;
  /** What the relay as it is gets of the harm. */
  readonly control: (harm: Harm) => Change;
  readonly hurt: (trial: Trial, harm: Harm) => Promise<void>;
}

const nothing = (): Change => ({});

export const onceMutants: readonly OnceMutant[] = [
  {
    name: "the number in Kafka is not read at a takeover: an open batch counts as not committed",
    change: () => ({
      publisher: (real) =>
        changed(real, {
          takeOver: async () => {
            await real.takeOver();
            return progressUpTo(0);
          },
        }),
    }),
    control: nothing,
    hurt: takeOverAfterCommit,
  },
  {
    name: "the number is read before the old owner is fenced",
    change: (harm) => ({
      publisher: (real, { kafka, place }) =>
        changed(real, {
          takeOver: async () => {
            const number = await new KafkaProgress(kafka, systemClock).read(place);
            await harm.meanwhile(place.partition);
            await real.takeOver();
            return number === null ? null : progressUpTo(number);
          },
        }),
    }),
    control: (harm) => ({
      publisher: (real, { place }) =>
        changed(real, {
          takeOver: async () => {
            const progress = await real.takeOver();
            await harm.meanwhile(place.partition);
            return progress;
          },
        }),
    }),
    hurt: takeOverBeforeCommit,
  },
  {
    name: "a producer is used again after an abort",
    change: () => ({ succession: reusing }),
    control: nothing,
    hurt: loseSend,
  },
  {
    name: "a partition missing from the answer to a send goes unnoticed",
    change: ({ strike }) => ({ succession: losing(strike, true) }),
    control: ({ strike }) => ({ succession: losing(strike, false) }),
    hurt: strikeOnce,
  },
  {
    name: "a partition that was written twice by one send goes unnoticed",
    change: ({ strike }) => ({ succession: doubling(strike, true) }),
    control: ({ strike }) => ({ succession: doubling(strike, false) }),
    hurt: strikeOnce,
  },
];

async function runTrial(
  stage: Stage,
  mutant: OnceMutant,
  isControl: boolean,
  options: MutantOptions,
): Promise<Outcome> {
  const { seed, directory } = options;
  const load = { writers: 4, holdMsMax: 10, aggregates: 60 };
  const scene = await Scene.open(stage, "mutant", seed, { delivery: "exactly-once", load });
  const relays: RunningRelay[] = [];
  const harm = new Harm();
  const change = isControl ? mutant.control(harm) : mutant.change(harm);
  const start = async (own: OnceOptions) => {
    const running = await onceRelay(scene, own);
    relays.push(running);
    await running.relay.start();
    running.relay.finished().catch((error) => scene.violations.push(`a relay ended: ${messageOf(error)}`));
    return running;
  };
  try {
    await mutant.hurt({ scene, proxy: proxyOf(scene), start, change }, harm);
    return await scene.finish({ duplicatesMax: 0, leasesLeft: true, drainMsMax: 15_000 });
  } finally {
    await stage.heal();
    await Promise.all(relays.map(({ relay }) => relay.stop()));
    await scene.close();
    const name = `mutant ${isControl ? "control " : ""}${mutant.name}.jsonl`;
    await scene.history.write(join(directory, name.replaceAll(/[^a-z.]+/g, "-")));
  }
}

/** What the checker objects to; undefined when it lets the trial pass. */
async function objectionTo(
  stage: Stage,
  mutant: OnceMutant,
  isControl: boolean,
  options: MutantOptions,
): Promise<string | undefined> {
  try {
    const { ok, violations } = await runTrial(stage, mutant, isControl, options);
    return ok ? undefined : (violations[0] ?? "");
  } catch (error) {
    return messageOf(error);
  }
}

/** It does not count as caught when the checker objects to the relay as it is under the same harm. */
export async function tryOnceMutant(
  stage: Stage,
  mutant: OnceMutant,
  options: MutantOptions,
): Promise<MutantResult> {
  const falseAlarm = await objectionTo(stage, mutant, true, options);
  const objection = await objectionTo(stage, mutant, false, options);
  const by =
    falseAlarm === undefined
      ? (objection ?? "no objection")
      : `the relay as it is does not pass either: ${falseAlarm}`;
  return { name: mutant.name, caught: falseAlarm === undefined && objection !== undefined, by };
}

export async function runOnceMutants(
  stage: Stage,
  options: MutantOptions,
  onResult: (result: MutantResult) => void,
): Promise<MutantResult[]> {
  const results: MutantResult[] = [];
  for (const mutant of onceMutants) {
    const result = await tryOnceMutant(stage, mutant, options);
    results.push(result);
    onResult(result);
  }
  return results;
}
