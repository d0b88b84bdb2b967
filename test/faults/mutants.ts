/**
 * Is the checker awake? Each mutant is the relay itself, in this process, with one of its rules taken
 * out. It runs through the same scene and the same judgement as every row, which must object.
 */
import { join } from "node:path";
import { acknowledge } from "../../src/event/acknowledgement.ts";
import type { Message } from "../../src/event/message.ts";
import { systemClock } from "../../src/foundation/clock.ts";
import { messageOf } from "../../src/foundation/errors.ts";
import { knownMigrations } from "../../src/outbox/migrator.ts";
import type { Outbox } from "../../src/outbox/outbox.ts";
import { PostgresOutbox } from "../../src/outbox/postgres-outbox.ts";
import { KafkaPublisher } from "../../src/publisher/kafka.ts";
import type { Publisher } from "../../src/publisher/publisher.ts";
import type { Relay } from "../../src/relay/relay.ts";
import { databaseConfig } from "../support/migrated-database.ts";
import { makeRelay } from "../support/running-relay.ts";
import { changed } from "./changed.ts";
import type { Delivery } from "./delivery.ts";
import { runOnceMutants } from "./once-mutants.ts";
import type { Outcome } from "./outcome.ts";
import type { MutantResult } from "./report.ts";
import { proxyOf } from "./rows-kafka.ts";
import { Scene } from "./scene.ts";
import type { Stage } from "./stage.ts";

interface Mutant {
  readonly name: string;
  readonly outbox?: (outbox: Outbox) => Outbox;
  readonly publisher?: (publisher: Publisher, outbox: Outbox) => Publisher;
  /** What happens to it while the writers write. */
  readonly harm: (scene: Scene, relay: Relay) => Promise<void>;
}

export interface MutantOptions {
  readonly seed: number;
  /** Where histories go. */
  readonly directory: string;
  readonly delivery?: Delivery;
}

const noHarm = (scene: Scene) => scene.last(4_000);

/** What was sent is lost on its way, not only the answer to it. */
async function cutOff(scene: Scene): Promise<void> {
  await scene.last(1_000);
  proxyOf(scene).blackHole("up");
  await scene.last(4_000);
  await scene.checkpoint();
  proxyOf(scene).cut();
  await proxyOf(scene).heal();
  await scene.last(1_000);
}

const eventsOf = (messages: readonly Message[]) => messages.map(({ event }) => event);

/** The relay as it is must pass under the harm that its mutants do not survive. */
const control: Mutant = { name: "nothing taken out", harm: cutOff };

const mutants: readonly Mutant[] = [
  {
    name: "the look sees no open writer",
    outbox: (outbox) => changed(outbox, { look: async () => ({ ...(await outbox.look()), writers: [] }) }),
    harm: noHarm,
  },
  {
    name: "rows are deleted before they are published",
    publisher: (publisher, outbox) =>
      changed(publisher, {
        publish: async (messages) => {
          await outbox.remove(eventsOf(messages).map(acknowledge));
          return publisher.publish(messages);
        },
      }),
    harm: cutOff,
  },
  {
    name: "an unknown outcome counts as an ack",
    publisher: (publisher) =>
      changed(publisher, {
        publish: async (messages) => {
          const report = await publisher.publish(messages);
          return { ...report, acks: [...report.acks, ...report.unknowns.map(acknowledge)], unknowns: [] };
        },
      }),
    harm: cutOff,
  },
  {
    name: "a batch is sent in reverse",
    publisher: (publisher) =>
      changed(publisher, { publish: (messages) => publisher.publish([...messages].reverse()) }),
    harm: noHarm,
  },
  {
    name: "acked rows are not deleted",
    outbox: (outbox) => changed(outbox, { remove: async (acks) => acks.length }),
    harm: async (scene, relay) => {
      await scene.last(2_000);
      relay.sweepSoon();
      await scene.last(1_000);
    },
  },
];

function relayOf(mutant: Mutant, scene: Scene) {
  const plain = new PostgresOutbox(
    databaseConfig(scene.url, { statementTimeoutMs: 2_000 }),
    knownMigrations().map(({ name }) => name),
  );
  const outbox = mutant.outbox?.(plain) ?? plain;
  const kafka = new KafkaPublisher(
    {
      brokers: scene.kafka.addresses.split(","),
      clientId: "mutant",
      tls: null,
      sasl: null,
      requestTimeoutMs: 1_500,
      connectionTimeoutMs: 1_500,
      compression: "none",
      requestBytesMax: 900_000,
    },
    () => undefined,
  );
  const publisher = mutant.publisher?.(kafka, plain) ?? kafka;
  return makeRelay(outbox, publisher, { limits: { batchEventsMax: 200, backoffMaxMs: 500 } });
}

/** The judgement of one mutant; small bounds on waiting, because some of them never drain. */
async function runMutant(stage: Stage, mutant: Mutant, { seed, directory }: MutantOptions): Promise<Outcome> {
  const scene = await Scene.open(stage, "mutant", seed, { load: { holdMsMax: 20, aggregates: 20 } });
  const { relay, announcements } = relayOf(mutant, scene);
  announcements.subscribe(({ type, ...fields }) => {
    scene.history.note("relay", type, fields);
  });
  const sweeping = new AbortController();
  try {
    await relay.start();
    relay.finished().catch((error) => scene.violations.push(`the relay ended: ${messageOf(error)}`));
    const sweeps = sweepEverySecond(relay, sweeping.signal);
    scene.startLoad();
    await mutant.harm(scene, relay);
    const outcome = await scene.finish({ duplicatesMax: 400, leasesLeft: true, drainMsMax: 6_000 });
    sweeping.abort();
    await sweeps;
    return outcome;
  } finally {
    sweeping.abort();
    await stage.heal();
    await relay.stop();
    await scene.close();
    await scene.history.write(join(directory, `mutant ${mutant.name}.jsonl`.replaceAll(/[^a-z.]+/g, "-")));
  }
}

async function sweepEverySecond(relay: Relay, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await systemClock.sleep(1_000, signal);
    relay.sweepSoon();
  }
}

/** What the checker objects to; undefined when it lets the mutant pass. */
async function objectionTo(
  stage: Stage,
  mutant: Mutant,
  options: MutantOptions,
): Promise<string | undefined> {
  try {
    const { ok, violations } = await runMutant(stage, mutant, options);
    return ok ? undefined : (violations[0] ?? "");
  } catch (error) {
    return messageOf(error);
  }
}

/** None counts as caught when the checker objects to the unchanged relay as well. */
export async function runMutants(
  stage: Stage,
  options: MutantOptions,
  onResult: (result: MutantResult) => void,
): Promise<MutantResult[]> {
  if (options.delivery === "exactly-once") return runOnceMutants(stage, options, onResult);
  // Their twins would be those of at-least-once with other bounds.
  if (options.delivery === "at-most-once") return [];
  const falseAlarm = await objectionTo(stage, control, options);
  const results: MutantResult[] = [];
  for (const mutant of mutants) {
    const objection = await objectionTo(stage, mutant, options);
    const result =
      falseAlarm === undefined
        ? { name: mutant.name, caught: objection !== undefined, by: objection ?? "no objection" }
        : { name: mutant.name, caught: false, by: `the unchanged relay does not pass either: ${falseAlarm}` };
    results.push(result);
    onResult(result);
  }
  return results;
}
