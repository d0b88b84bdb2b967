/** Rows in which the way to one broker, or the broker, is hurt. */

import type { TcpProxy } from "../support/proxy.ts";
import { kafkaApis } from "../support/proxy.ts";
import { batchEventsMax } from "./crew.ts";
import type { Row } from "./row.ts";
import type { Scene } from "./scene.ts";

export function proxyOf(scene: Scene, at = 0): TcpProxy {
  const proxy = scene.kafka.proxies[at];
  if (proxy === undefined) throw new Error(`there is no proxy ${at}`);
  return proxy;
}

export const kafkaRows: readonly Row[] = [
  {
    id: "F11",
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
];
