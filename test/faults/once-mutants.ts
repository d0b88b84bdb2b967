/**
 * The broken twins of exactly-once. Each is the relay itself with one rule taken out, under a harm that
 * hurts it every time; the relay as it is goes through the same harm first, and must pass.
 */
import { join } from "node:path";
import { progressUpTo } from "../../src/event/acknowledgement.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { messageOf } from "../../src/foundation/errors.ts";
import { KafkaProgress } from "../../src/publisher/kafka-progress.ts";
import { kafkaApis, type Mishap, type TcpProxy } from "../support/proxy.ts";
import type { RunningRelay } from "../support/running-relay.ts";
import { changed } from "./changed.ts";
import { groupOf } from "./held-call.ts";
import type { MutantOptions } from "./mutants.ts";
import { losing, reusing } from "./once-desks.ts";
import { type Change, type OnceOptions, onceRelay } from "./once-relay.ts";
import type { Outcome } from "./outcome.ts";
import type { MutantResult } from "./report.ts";
import { proxyOf } from "./rows-kafka.ts";
import { write } from "./rows-table.ts";
import { Scene } from "./scene.ts";
import type { Stage } from "./stage.ts";

interface Trial {
  readonly scene: Scene;
  readonly proxy: TcpProxy;
  /** Resolves when it relays. */
  start(options: OnceOptions): Promise<RunningRelay>;
  /** The second relay of the harm: the twin, or the relay as it is. */
  readonly change: Change;
}

interface OnceMutant {
  readonly name: string;
  readonly change: (harm: Harm) => Change;
  /** What the relay as it is gets of the harm. */
  readonly control: (harm: Harm) => Change;
  readonly hurt: (trial: Trial, harm: Harm) => Promise<void>;
}

/** What harm and twin have to tell each other. */
class Harm {
  /** Called by a takeover of this group, at the moment that matters. */
  meanwhile: (group: number) => Promise<void> = async () => undefined;
  losses = 0;
  isArmed = false;

  /** True once. */
  lose = (): boolean => {
    if (!this.isArmed || this.losses > 0) return false;
    this.losses += 1;
    return true;
  };
}

const nothing = (): Change => ({});

/** A first relay under load, whose next call of this kind is held. */
async function holdFirst(
  trial: Trial,
  apiKey: number,
): Promise<{
  readonly held: Mishap;
  readonly group: number;
  readonly transactionalId: string;
  readonly first: RunningRelay;
}> {
  const first = await trial.start({ name: "first", term: "1" });
  trial.scene.startLoad();
  await first.ear.next("batch-published", ({ events }) => events > 0);
  await trial.scene.last(500);
  const held = trial.proxy.holdNext({ apiKey, clientId: "first" });
  const message = await held.happened;
  return { held, group: groupOf(message), transactionalId: message.transactionalId, first };
}

/** The first relay stands behind its commit; a second one takes over. */
async function takeOverAfterCommit(trial: Trial): Promise<void> {
  const { held, group, first } = await holdFirst(trial, kafkaApis.endTxn);
  const second = await trial.start({ name: "second", term: "2", ...trial.change });
  await second.ear.until(() => second.ear.all("batch-resolved").some((said) => said.group === group));
  held.release();
  await trial.scene.last(1_000);
  await first.relay.stop();
}

/** The first relay stands in the middle of its transaction, and goes on while a second one takes over. */
async function takeOverBeforeCommit(trial: Trial, harm: Harm): Promise<void> {
  const { held, group, transactionalId, first } = await holdFirst(trial, kafkaApis.produce);
  let isOver = false;
  harm.meanwhile = async (taken) => {
    if (taken !== group || isOver) return;
    isOver = true;
    const committed = trial.proxy.seeNext({ apiKey: kafkaApis.endTxn, clientId: "first", transactionalId });
    held.release();
    // Where the first is fenced already there is no commit to wait for.
    await Promise.race([committed.happened, systemClock.sleep(2_000)]);
  };
  const second = await trial.start({ name: "second", term: "2", ...trial.change });
  await second.ear.until(() => second.ear.all("batch-resolved").some((said) => said.group === group));
  await trial.scene.last(1_000);
  await first.relay.stop();
}

/** A batch is written by the broker, and every answer lost until the send is given up; then it comes again. */
async function failSend(trial: Trial): Promise<void> {
  const { scene, proxy } = trial;
  const relay = await trial.start({ name: "first", term: "1", ...trial.change });
  const once = (n: number) => write(scene.client, scene, { aggregateId: "one", payload: `{"n":${n}}` });
  const published = relay.ear.next("batch-published", ({ events }) => events > 0);
  await once(0);
  await published;
  await scene.drained();
  const cut = proxy.cutAtNext({ apiKey: kafkaApis.produce, count: sendsMax });
  await scene.client.query("begin");
  for (let n = 1; n <= 5; n += 1) await once(n);
  await scene.client.query("commit");
  await cut.happened;
  scene.fault(`${sendsMax} answers to a send lost`);
}

/** So often kafkajs sends by itself. */
const sendsMax = 9;

/** One send resolves without one of its partitions. */
async function loseSilently(trial: Trial, harm: Harm): Promise<void> {
  const relay = await trial.start({ name: "first", term: "1", ...trial.change });
  trial.scene.startLoad();
  await relay.ear.next("batch-published", ({ events }) => events > 0);
  harm.isArmed = true;
  await relay.ear.until(() => harm.losses > 0);
  await trial.scene.last(1_000);
}

const mutants: readonly OnceMutant[] = [
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
    hurt: failSend,
  },
  {
    name: "a partition missing from the answer to a send goes unnoticed",
    change: ({ lose }) => ({ succession: losing(lose, true) }),
    control: ({ lose }) => ({ succession: losing(lose, false) }),
    hurt: loseSilently,
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

/** None counts as caught when the checker objects to the relay as it is under the same harm. */
export async function runOnceMutants(
  stage: Stage,
  options: MutantOptions,
  onResult: (result: MutantResult) => void,
): Promise<MutantResult[]> {
  const results: MutantResult[] = [];
  for (const mutant of mutants) {
    const falseAlarm = await objectionTo(stage, mutant, true, options);
    const objection = await objectionTo(stage, mutant, false, options);
    const by =
      falseAlarm === undefined
        ? (objection ?? "no objection")
        : `the relay as it is does not pass either: ${falseAlarm}`;
    const result = { name: mutant.name, caught: falseAlarm === undefined && objection !== undefined, by };
    results.push(result);
    onResult(result);
  }
  return results;
}
