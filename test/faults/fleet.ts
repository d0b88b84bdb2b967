/** Three relays, one outbox: who holds what, and for how long nobody does. */
import { inFlightMax, leaseTtlMs } from "./crew.ts";
import { everyDelivery, type Row } from "./row.ts";

export const fleetRow: Row = {
  id: "F38",
  under: everyDelivery,
  title: "three relays: one is killed, one stops, three join; who holds how many of 64 shards",
  bound:
    "fair shares; kill -9 taken over within TTL + 1 s, SIGTERM within 1 s; no shard under two trusted leases",
  run: async (scene) => {
    await scene.begin();
    const sharesAtStart = await scene.shared();
    const [killed, stopped] = scene.crew.alive;
    if (killed === undefined || stopped === undefined) throw new Error("three relays were asked for");
    const afterKillMs = await scene.takenOver(killed.process.pid, await scene.crew.kill(killed));
    const sharesAfterKill = await scene.shared();
    const afterStopMs = await scene.takenOver(stopped.process.pid, await scene.crew.dismiss(stopped));
    const sharesAlone = await scene.shared();
    await scene.crew.hireMany(3);
    const sharesAfterJoin = await scene.shared();
    await scene.calm(2_000);
    const shown = Object.entries({ sharesAtStart, sharesAfterKill, sharesAlone, sharesAfterJoin });
    scene.notes.push(...shown.map(([name, shares]) => `${name} ${shares.join("+")}`));
    scene.notes.push(`taken over ${afterKillMs} ms after kill -9, ${afterStopMs} ms after SIGTERM`);
    if (scene.isTimed && afterStopMs > 1_000)
      scene.violations.push(`the shards of a clean stop stayed free for ${afterStopMs} ms`);
    return {
      duplicatesMax: inFlightMax,
      recoveryMs: afterKillMs,
      recoveryMsMax: leaseTtlMs + 1_000,
      figures: { sharesAtStart, sharesAfterKill, sharesAlone, sharesAfterJoin, afterKillMs, afterStopMs },
    };
  },
};
