/** Rows in which PostgreSQL, or the way to it, is hurt. */
import { OutriderError } from "../../src/foundation/errors.ts";
import { type Pair, startPair } from "../support/standby.ts";
import { inFlightMax } from "./crew.ts";
import { auditedBy, removedFrom } from "./evidence.ts";
import { startPgBouncer } from "./pgbouncer.ts";
import { everyDelivery, type Preparation, type Row } from "./row.ts";
import type { Scene } from "./scene.ts";
import { Impossible } from "./stage.ts";
import { until } from "./until.ts";

async function preparePair(mode: "sync" | "async"): Promise<Preparation> {
  try {
    const pair = await startPair(mode);
    return { play: { pair }, stop: () => pair.stop() };
  } catch (error) {
    if (!(error instanceof OutriderError)) throw error;
    throw new Impossible(`a primary with a standby needs an installed PostgreSQL: ${error.message}`);
  }
}

/** Moves relays, writers and checker to the standby; resolves with the moment it had taken over. */
async function failOver(scene: Scene, pair: Pair): Promise<number> {
  scene.fault("the primary crashes");
  await pair.primary.kill("SIGQUIT");
  pair.link.cut();
  await pair.promote();
  const url = new URL(pair.standbyUrl);
  url.pathname = new URL(scene.url).pathname;
  scene.stage.postgresProxy.leadTo(url.host);
  scene.stage.postgresProxy.cut();
  await scene.settleAt(url.href);
  return scene.fault("the standby is the primary");
}

function pairOf(scene: Scene): Pair {
  if (scene.pair === undefined) throw new Error("this row needs a pair");
  return scene.pair;
}

export const postgresRows: readonly Row[] = [
  {
    id: "F9",
    under: everyDelivery,
    title: "PostgreSQL is silent for 6 s",
    bound: "publishing again within 5 s; duplicates ≤ two batches a relay",
    run: async (scene) => {
      await scene.begin();
      scene.fault("black hole, both ways");
      scene.stage.postgresProxy.blackHole("both");
      await scene.last(6_000);
      await scene.checkpoint();
      const atMs = scene.fault("healed");
      await scene.stage.postgresProxy.heal();
      const recoveryMs = await scene.flowing(atMs);
      await scene.calm(2_000);
      return { duplicatesMax: 3 * inFlightMax, recoveryMs, recoveryMsMax: 5_000 };
    },
  },
  {
    id: "F10",
    title: "the answer to a DELETE is lost, and its connection is mute from then on",
    bound: "the DELETE is sent again and finds nothing; no duplicate",
    under: everyDelivery,
    play: { relays: 1 },
    run: async (scene) => {
      await scene.begin();
      // The book of batches deletes in the statement that writes: its answer is that of a SELECT.
      const isRemoval = ({ tag, application }: { readonly tag: string; readonly application: string }) =>
        tag.startsWith("DELETE") || (tag === "SELECT 1" && application.includes("(batches)"));
      const lost = scene.stage.postgresProxy.swallowNextBackend(isRemoval);
      await lost.happened;
      const atMs = scene.fault("answer of a DELETE swallowed");
      await until("the removal is repeated", 15_000, () => scene.crew.said("outbox-back") > 0 || undefined);
      const recoveryMs = await scene.flowing(atMs);
      await scene.calm(1_000);
      return { duplicatesMax: 0, recoveryMs };
    },
  },
  {
    id: "F22",
    under: everyDelivery,
    title: "PostgreSQL crashes at once and is started again",
    bound: "publishing again within 10 s; uncommitted events never appear; duplicates ≤ two batches a relay",
    run: async (scene) => {
      await scene.begin();
      scene.fault("PostgreSQL crashes");
      const server = scene.stage.postgresProcess;
      await server.kill("SIGQUIT");
      await scene.last(1_000);
      await server.restart();
      await scene.settleAt();
      const recoveryMs = await scene.flowing(scene.fault("PostgreSQL is back"));
      await scene.calm(2_000);
      await scene.checkpoint();
      return { duplicatesMax: 3 * inFlightMax, recoveryMs, recoveryMsMax: 10_000 };
    },
  },
  {
    id: "F23",
    title: "failover to a synchronous standby",
    bound: "none lost; duplicates ≤ two batches a relay",
    prepare: () => preparePair("sync"),
    run: async (scene) => {
      await scene.begin();
      await scene.last(1_000);
      const recoveryMs = await scene.flowing(await failOver(scene, pairOf(scene)));
      await scene.calm(2_000);
      return { duplicatesMax: 3 * inFlightMax, recoveryMs, recoveryMsMax: 10_000 };
    },
  },
  {
    id: "F24",
    title: "failover to an asynchronous standby that is 2 s behind",
    bound:
      "duplicates ≤ what was deleted in the lag and two batches a relay; phantoms ≤ the inserts that PostgreSQL lost",
    prepare: () => preparePair("async"),
    run: async (scene) => {
      await scene.begin();
      const pair = pairOf(scene);
      const deletedBefore = (await removedFrom(scene.client)).length;
      pair.link.blackHole("both");
      scene.fault("the standby hears nothing");
      await scene.last(2_000);
      const deletedInLag = (await removedFrom(scene.client)).length - deletedBefore;
      const atMs = await failOver(scene, pair);
      const kept = new Set((await auditedBy(scene.client)).map(({ eventId }) => eventId));
      const lost = scene.history.promised(atMs).filter((eventId) => !kept.has(eventId));
      const recoveryMs = await scene.flowing(atMs);
      await scene.calm(2_000);
      scene.notes.push(`${lost.length} promised events lost by PostgreSQL, ${deletedInLag} deletions undone`);
      if (lost.length === 0) scene.violations.push("the standby was not behind: the fault has hit nothing");
      // What PostgreSQL has forgotten to have deleted is published again, whatever Kafka knows of it.
      const duplicatesMax = deletedInLag + 3 * inFlightMax;
      return { duplicatesMax, unavoidableMax: duplicatesMax, phantomMax: lost.length, recoveryMs };
    },
  },
  {
    id: "F32",
    title: "PgBouncer in transaction mode, restarted under load",
    bound: "duplicates ≤ two batches a relay",
    run: async (scene) => {
      const bouncer = await startPgBouncer(scene.url);
      if (bouncer === undefined)
        throw new Impossible("PgBouncer is not installed (Debian: apt-get install pgbouncer)");
      scene.defer(() => bouncer.stop());
      await Promise.all([1, 2, 3].map(() => scene.crew.hire({ DATABASE_URL: bouncer.url })));
      await scene.shared();
      scene.startLoad();
      await scene.last(2_000);
      await scene.checkpoint();
      scene.fault("PgBouncer is killed");
      await bouncer.process.restart();
      const recoveryMs = await scene.flowing(scene.fault("PgBouncer is back"));
      await scene.calm(2_000);
      return { duplicatesMax: 3 * inFlightMax, recoveryMs, recoveryMsMax: 10_000 };
    },
  },
];
