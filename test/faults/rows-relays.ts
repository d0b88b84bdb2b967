/** Rows in which the relays themselves are hurt: stopped, killed, frozen, multiplied. */
import { RemovalGate } from "../support/gate.ts";
import { kafkaApis } from "../support/proxy.ts";
import { inFlightMax, leaseTtlMs, type Member } from "./crew.ts";
import { everyDelivery, type Row } from "./row.ts";
import type { Scene } from "./scene.ts";

/** One relay takes over from a dead one within the TTL and one round; a second for a busy machine. */
const takeoverMsMax = leaseTtlMs + 1_000;

function first(scene: Scene): Member {
  const member = scene.crew.alive[0];
  if (member === undefined) throw new Error("no relay is alive");
  return member;
}

/** Kills, hires another, and says how long the shards of the dead one had no holder. */
async function killAndReplace(scene: Scene): Promise<number> {
  const victim = first(scene);
  const atMs = await scene.crew.kill(victim);
  const takeover = await scene.takenOver(victim.process.pid, atMs);
  await scene.crew.hire();
  await scene.shared();
  return takeover;
}

export const relayRows: readonly Row[] = [
  {
    id: "F1",
    under: everyDelivery,
    title: "no fault",
    bound: "no duplicate",
    run: async (scene) => {
      await scene.begin();
      await scene.calm(6_000);
      await scene.checkpoint();
      return { duplicatesMax: 0 };
    },
  },
  {
    id: "F2",
    under: everyDelivery,
    title: "SIGTERM one relay under load, and start another; again and again",
    bound: "no duplicate; taken over within 2 s",
    run: async (scene) => {
      await scene.begin();
      let slowest = 0;
      await scene.repeat(3, async () => {
        const victim = first(scene);
        const atMs = await scene.crew.dismiss(victim);
        slowest = Math.max(slowest, await scene.takenOver(victim.process.pid, atMs));
        await scene.crew.hire();
        await scene.shared();
        await scene.calm(700);
      });
      return { duplicatesMax: 0, recoveryMs: slowest, recoveryMsMax: 2_000 };
    },
  },
  {
    id: "F3",
    under: everyDelivery,
    title: "kill -9 one relay under load, and start another; again and again",
    bound: "duplicates ≤ two batches a kill; taken over within TTL + 1 s",
    run: async (scene) => {
      await scene.begin();
      let slowest = 0;
      const kills = await scene.repeat(3, async () => {
        slowest = Math.max(slowest, await killAndReplace(scene));
      });
      return { duplicatesMax: kills * inFlightMax, recoveryMs: slowest, recoveryMsMax: takeoverMsMax };
    },
  },
  {
    id: "F4",
    under: everyDelivery,
    title: "kill -9 between ack and DELETE",
    bound: "duplicates ≤ two batches, and at least one",
    play: { relays: 1 },
    run: async (scene) => {
      const gate = await RemovalGate.install(scene.url);
      try {
        await scene.begin();
        await gate.shut();
        const waiting = await gate.caught();
        const atMs = await scene.crew.kill(first(scene));
        await gate.open(waiting);
        await scene.crew.hire();
        return { duplicatesMax: inFlightMax, duplicatesMin: 1, recoveryMs: await scene.flowing(atMs) };
      } finally {
        await gate.close();
      }
    },
  },
  {
    id: "F6",
    under: everyDelivery,
    title: "kill -9 in the middle of a send: the broker has written, the relay has not heard",
    bound: "duplicates ≤ two batches, and at least one",
    play: { relays: 1 },
    run: async (scene) => {
      await scene.begin();
      const held = scene.kafka.proxies[0]?.holdNext({ apiKey: kafkaApis.produce });
      await held?.happened;
      const atMs = await scene.crew.kill(first(scene));
      held?.release();
      await scene.crew.hire();
      return { duplicatesMax: inFlightMax, duplicatesMin: 1, recoveryMs: await scene.flowing(atMs) };
    },
  },
  {
    id: "F7",
    under: ["at-least-once"],
    title: "SIGSTOP one relay for three TTLs, then SIGCONT",
    bound: "duplicates ≤ two batches; taken over within TTL + 1 s; the sleeper does not write on",
    run: async (scene) => {
      await scene.begin();
      const sleeper = first(scene);
      const atMs = scene.fault("SIGSTOP", { relay: sleeper.name });
      sleeper.process.signal("SIGSTOP");
      const recoveryMs = await scene.takenOver(sleeper.process.pid, atMs);
      await scene.last(3 * leaseTtlMs - recoveryMs);
      scene.fault("SIGCONT", { relay: sleeper.name });
      sleeper.process.signal("SIGCONT");
      await scene.calm(1_500);
      return { duplicatesMax: inFlightMax, recoveryMs, recoveryMsMax: takeoverMsMax };
    },
  },
  {
    id: "F8",
    under: everyDelivery,
    title: "kill -9 all relays at once, and start them again",
    bound: "duplicates ≤ 3 × two batches; publishing again within TTL + 1 s and the start of a process",
    run: async (scene) => {
      await scene.begin();
      const killed = await Promise.all(scene.crew.alive.map((member) => scene.crew.kill(member)));
      await scene.crew.hireMany(3);
      const recoveryMs = await scene.flowing(Math.max(...killed));
      await scene.last(1_000);
      // By groups, each takeover asks Kafka as well, and the transactions of the dead are ended first.
      const startMsMax = scene.delivery === "at-least-once" ? 4_000 : 8_000;
      return { duplicatesMax: 3 * inFlightMax, recoveryMs, recoveryMsMax: takeoverMsMax + startMsMax };
    },
  },
  {
    id: "F37",
    under: everyDelivery,
    title: "three relays, then one, then six",
    bound: "no duplicate",
    run: async (scene) => {
      await scene.begin();
      const [one, two] = scene.crew.alive;
      if (one === undefined || two === undefined) throw new Error("three relays were asked for");
      const atMs = await scene.crew.dismiss(one);
      await scene.crew.dismiss(two);
      const recoveryMs = await scene.takenOver(two.process.pid, atMs);
      await scene.last(1_500);
      await scene.crew.hireMany(5);
      const held = await scene.shared();
      scene.notes.push(`shares of six: ${held.join(", ")}`);
      await scene.last(2_000);
      return { duplicatesMax: 0, recoveryMs };
    },
  },
];
