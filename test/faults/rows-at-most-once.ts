/**
 * At-most-once under the same kills: nothing ever twice, and whatever is lost is named by a relay. All
 * events belong to one aggregate, so that one batch is open at a time and the counts must agree exactly.
 */
import { kafkaApis } from "../support/proxy.ts";
import { auditedBy } from "./evidence.ts";
import { holdCall, type Side } from "./held-call.ts";
import { lossesOf } from "./losses.ts";
import type { Row } from "./row.ts";
import { failpointPlay, killAtRandom, staffed } from "./rows-failpoints.ts";
import type { Scene } from "./scene.ts";
import { until } from "./until.ts";

const kills = 20;
const onePage = { ...failpointPlay, load: { ...failpointPlay.load, aggregates: 1 } };

async function inDoubt(scene: Scene, times: number): Promise<void> {
  await until("the batch is reported", 30_000, () => scene.crew.said("batch-in-doubt") >= times || undefined);
}

async function killAt(scene: Scene, side: Side): Promise<number> {
  let times = 0;
  return scene.repeat(kills, async () => {
    await staffed(scene);
    const held = await holdCall(scene, side, { apiKey: kafkaApis.produce });
    await scene.crew.kill(held.member);
    held.drop();
    scene.crew.start();
    times += 1;
    // The next one must be the next owner's.
    await inDoubt(scene, times);
  });
}

/** What was lost and what was reported, once nothing is under way any more. */
async function lossesAtTheEnd(scene: Scene) {
  await scene.load?.stop();
  await scene.drained();
  // Deleted is not yet published: who has a batch in hand publishes it before leaving.
  for (const member of scene.crew.alive) await scene.crew.dismiss(member);
  return lossesOf(await auditedBy(scene.client), await scene.evidence.consumed(), scene.crew.members);
}

export const atMostOnceRows: readonly Row[] = [
  {
    id: "Y1",
    title: `kill -9 after the DELETE and before anything is sent; ${kills} times`,
    bound: "as many lost as reported",
    under: ["at-most-once"],
    play: onePage,
    run: async (scene) => {
      await scene.begin();
      await killAt(scene, "request");
      const { missing, reported } = await lossesAtTheEnd(scene);
      if (missing !== reported || missing === 0)
        scene.violations.push(`${missing} events are lost and ${reported} were reported`);
      return { duplicatesMax: 0 };
    },
  },
  {
    id: "Y2",
    title: `kill -9 in the middle of a send: the broker has written; ${kills} times`,
    bound: "reported as in doubt, and all of it there",
    under: ["at-most-once"],
    play: onePage,
    run: async (scene) => {
      await scene.begin();
      await killAt(scene, "answer");
      const { missing, reported, arrived } = await lossesAtTheEnd(scene);
      if (missing !== 0 || arrived !== reported || reported === 0)
        scene.violations.push(`${missing} lost, ${arrived} of ${reported} in doubt are there`);
      return { duplicatesMax: 0 };
    },
  },
  {
    id: "Y3",
    title: "kill -9 at random moments, 30 times",
    bound: "no duplicate",
    under: ["at-most-once"],
    play: failpointPlay,
    run: async (scene) => {
      await scene.begin();
      await killAtRandom(scene, 30);
      return { duplicatesMax: 0 };
    },
  },
];
