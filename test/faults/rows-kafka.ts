/** Rows in which the way to the broker is hurt: answers lost, silence, resets, slowness. */
import { kafkaApis, type TcpProxy } from "../support/proxy.ts";
import { batchEventsMax, inFlightMax } from "./crew.ts";
import { everyDelivery, type Row } from "./row.ts";
import type { Scene } from "./scene.ts";
import { until } from "./until.ts";

export function proxyOf(scene: Scene, at = 0): TcpProxy {
  const proxy = scene.kafka.proxies[at];
  if (proxy === undefined) throw new Error(`there is no proxy ${at}`);
  return proxy;
}

export const kafkaRows: readonly Row[] = [
  {
    id: "F11",
    under: everyDelivery,
    title: "one Produce response is lost, all other traffic passes; again and again",
    bound: "duplicates ≤ one batch a time, and at least one; the batch after it is not lost",
    play: { relays: 1 },
    run: async (scene) => {
      await scene.begin();
      let recoveryMs = 0;
      const times = await scene.repeat(3, async () => {
        const lost = proxyOf(scene).swallowNext({ apiKey: kafkaApis.produce });
        await lost.happened;
        const atMs = scene.fault("Produce response swallowed");
        recoveryMs = Math.max(recoveryMs, await scene.flowing(atMs));
        await scene.checkpoint();
      });
      return { duplicatesMax: times * batchEventsMax, duplicatesMin: 1, recoveryMs, recoveryMsMax: 6_000 };
    },
  },
  {
    id: "F12",
    under: everyDelivery,
    title: "five Produce responses of three relays on one broker are lost",
    bound: "duplicates ≤ one batch each, and at least one",
    run: async (scene) => {
      await scene.begin();
      await proxyOf(scene).swallowNext({ apiKey: kafkaApis.produce, count: 5 }).happened;
      const recoveryMs = await scene.flowing(scene.fault("the fifth Produce response swallowed"));
      await scene.checkpoint();
      await scene.calm(1_500);
      return { duplicatesMax: 5 * batchEventsMax, duplicatesMin: 1, recoveryMs };
    },
  },
  {
    id: "F13",
    under: everyDelivery,
    title: "the broker is silent until sends are given up, and then what was sent arrives after all",
    bound: "duplicates ≤ two batches a relay; nothing of an abandoned send out of order",
    run: async (scene) => {
      await scene.begin();
      scene.fault("black hole, both ways");
      proxyOf(scene).blackHole("both");
      await until("a relay has noticed", 15_000, () => scene.crew.said("broker-lost") > 0 || undefined);
      await scene.last(2_000);
      await scene.checkpoint();
      const atMs = scene.fault("healed");
      await proxyOf(scene).heal();
      const recoveryMs = await scene.flowing(atMs);
      await scene.calm(2_000);
      return { duplicatesMax: 3 * inFlightMax, recoveryMs, recoveryMsMax: 15_000 };
    },
  },
  {
    id: "F14",
    under: everyDelivery,
    title: "every connection to the broker is reset, every 200 ms, for 6 s",
    bound: "publishing again within 10 s; duplicates ≤ two batches a reset and relay",
    run: async (scene) => {
      await scene.begin();
      const resets = await scene.repeat(30, async () => {
        proxyOf(scene).cut();
        await scene.last(200);
      });
      const recoveryMs = await scene.flowing(scene.fault(`the last of ${resets} resets`));
      await scene.checkpoint();
      await scene.calm(1_000);
      return { duplicatesMax: resets * 3 * inFlightMax, recoveryMs, recoveryMsMax: 10_000 };
    },
  },
  {
    id: "F15",
    under: everyDelivery,
    title: "the broker is 200 to 800 ms away, each way, and the distance changes",
    bound: "slower, and no duplicate",
    play: { relayEnvironment: { OUTRIDER_KAFKA_REQUEST_TIMEOUT_MS: "6000" } },
    run: async (scene) => {
      await scene.begin();
      let far = false;
      await scene.repeat(6, async () => {
        far = !far;
        proxyOf(scene).delay(far ? { up: 800, down: 200 } : { up: 200, down: 800 });
        await scene.last(1_500);
      });
      await scene.checkpoint();
      const atMs = scene.fault("near again");
      await proxyOf(scene).heal();
      return { duplicatesMax: 0, recoveryMs: await scene.flowing(atMs) };
    },
  },
];
