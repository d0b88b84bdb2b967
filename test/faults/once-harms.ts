/** What is done to an exactly-once relay in this process, so that one rule taken out of it hurts every time. */
import { kafkaApis, type TcpProxy } from "../support/proxy.ts";
import type { RunningRelay } from "../support/running-relay.ts";
import { changed } from "./changed.ts";
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

/** The first relay stands behind its commit; a second one takes over. */
export async function takeOverAfterCommit(trial: Trial): Promise<void> {
  const first = await trial.start({ name: "first", term: "1" });
  trial.scene.startLoad();
  await first.ear.next("batch-published", ({ events }) => events > 0);
  await trial.scene.last(500);
  const held = trial.proxy.holdNext({ apiKey: kafkaApis.endTxn, clientId: "first" });
  const group = groupOf(await held.happened);
  const second = await trial.start({ name: "second", term: "2", ...trial.change });
  await second.ear.until(() => second.ear.all("batch-resolved").some((said) => said.group === group));
  held.release();
  await trial.scene.last(1_000);
  await first.relay.stop();
}

/** Holds one commit before the broker hears anything of it. */
class CommitGate {
  /** The group whose commit is held. */
  readonly caught: Promise<number>;
  /** Resolves when it has been let through and has ended, whichever way. */
  readonly passed: Promise<void>;
  isArmed = false;
  open: () => void = () => undefined;
  #catch: (group: number) => void = () => undefined;
  #pass: () => void = () => undefined;
  readonly #opened: Promise<void>;

  constructor() {
    this.caught = new Promise((resolve) => {
      this.#catch = resolve;
    });
    this.passed = new Promise((resolve) => {
      this.#pass = resolve;
    });
    this.#opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }

  readonly before: NonNullable<Change["publisher"]> = (real, { place }) =>
    changed(real, {
      commit: async (number, sendable, mayCommit) => {
        if (!this.isArmed || sendable.length === 0) return real.commit(number, sendable, mayCommit);
        this.isArmed = false;
        this.#catch(place.partition);
        await this.#opened;
        return real.commit(number, sendable, mayCommit).finally(this.#pass);
      },
    });
}

/**
 * The first relay has written its batch down and begins its transaction while a second one takes over. Later
 * would be too late to hurt: a number that is part of an open transaction keeps everybody from reading it.
 */
export async function takeOverBeforeCommit(trial: Trial, harm: Harm): Promise<void> {
  const gate = new CommitGate();
  const first = await trial.start({ name: "first", term: "1", publisher: gate.before });
  trial.scene.startLoad();
  await first.ear.next("batch-published", ({ events }) => events > 0);
  gate.isArmed = true;
  const group = await gate.caught;
  harm.meanwhile = async (taken) => {
    if (taken !== group) return;
    gate.open();
    await gate.passed;
  };
  const second = await trial.start({ name: "second", term: "2", ...trial.change });
  await second.ear.until(() => second.ear.all("batch-resolved").some((said) => said.group === group));
  await trial.scene.last(1_000);
  await first.relay.stop();
}

/** A send is lost before the broker has it: whoever counted it has counted too far. */
export async function loseSend(trial: Trial): Promise<void> {
  const { scene, proxy } = trial;
  const relay = await trial.start({ name: "first", term: "1", ...trial.change });
  const once = (n: number) => write(scene.client, scene, { aggregateId: "one", payload: `{"n":${n}}` });
  const published = relay.ear.next("batch-published", ({ events }) => events > 0);
  await once(0);
  await published;
  await scene.drained();
  const lost = proxy.holdNextRequest({ apiKey: kafkaApis.produce });
  await once(1);
  await lost.happened;
  lost.drop();
  scene.fault("a send lost on its way");
}

/** One send resolves, and is not what it seems. */
export async function strikeOnce(trial: Trial, harm: Harm): Promise<void> {
  const relay = await trial.start({ name: "first", term: "1", ...trial.change });
  trial.scene.startLoad();
  await relay.ear.next("batch-published", ({ events }) => events > 0);
  harm.isArmed = true;
  await relay.ear.until(() => harm.strikes > 0);
  await trial.scene.last(1_000);
}
