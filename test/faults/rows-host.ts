/** Rows in which the machine around the relay fails it: nobody reads its log, or the disk is full. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inFlightMax, leaseTtlMs, relayDefaults } from "./crew.ts";
import { shares } from "./lease-log.ts";
import type { Row } from "./row.ts";
import type { Scene } from "./scene.ts";
import { until } from "./until.ts";

const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));

/** A relay whose standard output leads to a pipe that nobody reads, or to a file. */
function startMute(scene: Scene, output: "pipe" | number): ChildProcess {
  const child = spawn(process.execPath, [entry, "relay"], {
    env: {
      PATH: process.env.PATH,
      ...relayDefaults,
      // So many polls that the log fills any pipe within seconds.
      OUTRIDER_POLL_MIN_MS: "0",
      OUTRIDER_POLL_MAX_MS: "1",
      DATABASE_URL: scene.stage.throughProxy(scene.url),
      KAFKA_BROKERS: scene.kafka.addresses,
    },
    stdio: ["ignore", output, "ignore"],
  });
  scene.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  });
  return child;
}

async function stateOf(scene: Scene, child: ChildProcess): Promise<string> {
  if (child.exitCode !== null || child.signalCode !== null)
    return `ended (${child.exitCode ?? child.signalCode})`;
  const held = (await shares(scene.client, [child.pid ?? -1])).get(child.pid ?? -1) ?? 0;
  return held > 0 ? `relays ${held} shards` : "has stopped relaying, others do";
}

export const hostRows: readonly Row[] = [
  {
    id: "F35",
    title: "nobody reads the log of one relay; that of another leads to a full disk",
    bound: "each relays on, ends, or loses its shards to another; duplicates ≤ two batches each",
    play: { relays: 1 },
    run: async (scene) => {
      await scene.begin();
      const full = openSync("/dev/full", "w");
      const unread = startMute(scene, "pipe");
      const diskless = startMute(scene, full);
      closeSync(full);
      await until("both have taken shards", 15_000, async () => {
        const held = await shares(scene.client, [unread.pid ?? -1, diskless.pid ?? -1]);
        const isEnded = unread.exitCode !== null || diskless.exitCode !== null;
        if (isEnded) scene.notes.push("one ended before it had shards");
        return isEnded || [...held.entries()].every(([pid, count]) => pid === 0 || count > 0) || undefined;
      });
      await scene.last(8_000);
      scene.notes.push(`unread pipe: ${await stateOf(scene, unread)}`);
      scene.notes.push(`full disk: ${await stateOf(scene, diskless)}`);
      for (const child of [unread, diskless]) child.kill("SIGKILL");
      scene.fault("kill -9 both");
      await scene.last(leaseTtlMs);
      return { duplicatesMax: 2 * inFlightMax };
    },
  },
];
