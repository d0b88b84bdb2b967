/** What is done to an exactly-once relay in this process, so that one rule taken out of it hurts every time. */
import { systemClock } from "../../src/foundation/clock.ts";
import { kafkaApis, type Mishap, type TcpProxy } from "../support/proxy.ts";
import type { RunningRelay } from "../support/running-relay.ts";
import { groupOf } from "./held-call.ts";
import type { Change, OnceOptions } from "./once-relay.ts";
import { write } from "./rows-table.ts";
import type { Scene } from "./scene.ts";

export interface Trial {
  readonly scene: Scene;
  readonly proxy: TcpProxy;
  /** Resolves when it relays. */
  start(options: OnceOptions): Promise<RunningRelay>;
  /** The second relay of the harm: the twin, or the relay as it is. */
  readonly change: Change;
}

/** What harm and twin have to tell each other. */
export class Harm {
  /** Called by a takeover of this group, at the moment that matters. */
  meanwhile: (group: number) => Promise<void> = async () => undefined;
  strikes = 0;
  isArmed = false;

  /** True once. */
  strike = (): boolean => {
    if (!this.isArmed || this.strikes > 0) return false;
    this.strikes += 1;
    return true;
  };
}

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
export async function takeOverAfterCommit(trial: Trial): Promise<void> {
  const { held, group, first } = await holdFirst(trial, kafkaApis.endTxn);
  const second = await trial.start({ name: "second", term: "2", ...trial.change });
  await second.ear.until(() => second.ear.all("batch-resolved").some((said) => said.group === group));
  held.release();
  await trial.scene.last(1_000);
  await first.relay.stop();
}

/** The first relay stands in the middle of its transaction, and goes on while a second one takes over. */
export async function takeOverBeforeCommit(trial: Trial, harm: Harm): Promise<void> {
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
export async function failSend(trial: Trial): Promise<void> {
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

/** One send resolves, and is not what it seems. */
export async function strikeOnce(trial: Trial, harm: Harm): Promise<void> {
  const relay = await trial.start({ name: "first", term: "1", ...trial.change });
  trial.scene.startLoad();
  await relay.ear.next("batch-published", ({ events }) => events > 0);
  harm.isArmed = true;
  await relay.ear.until(() => harm.strikes > 0);
  await trial.scene.last(1_000);
}
