/** Rows in which the machine around the relay fails it: nobody reads its log, or the disk is full. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runCommand } from "../../src/environment/run-command.ts";
import { inFlightMax, leaseTtlMs } from "./crew.ts";
import { shares } from "./lease-log.ts";
import type { Row } from "./row.ts";
import type { Scene } from "./scene.ts";
import { until } from "./until.ts";

const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));

/** A relay whose log goes to this file. */
function startMute(scene: Scene, output: number): ChildProcess {
  const child = spawn(process.execPath, [entry, "relay"], {
    env: {
      PATH: process.env.PATH,
      ...scene.crew.environment,
    },
    stdio: ["ignore", output, "ignore"],
  });
  closeSync(output);
  scene.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  });
  return child;
}

/** A pipe that swallows what is written until it is plugged, and then blocks its writers. */
async function openPipe(scene: Scene): Promise<{ readonly writer: number; plug(): void }> {
  const directory = await mkdtemp(join(tmpdir(), "outrider-pipe-"));
  const path = join(directory, "log");
  await runCommand("mkfifo", [path]);
  const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY);
  const scratch = Buffer.alloc(4_096);
  const draining = setInterval(() => {
    try {
      while (readSync(both, scratch) > 0);
    } catch {
      // Empty for now (EAGAIN).
    }
  }, 10);
  scene.defer(async () => {
    clearInterval(draining);
    closeSync(both);
    await rm(directory, { recursive: true });
  });
  const plug = () => {
    clearInterval(draining);
    try {
      while (writeSync(both, scratch) > 0);
    } catch {
      // Full (EAGAIN).
    }
  };
  return { writer, plug };
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
      const pipe = await openPipe(scene);
      const unread = startMute(scene, pipe.writer);
      await until("it has taken shards", 20_000, async () => {
        const held = await shares(scene.client, [unread.pid ?? -1]);
        return (held.get(unread.pid ?? -1) ?? 0) > 0 || undefined;
      });
      scene.fault("nobody reads the log any more");
      pipe.plug();
      const diskless = startMute(scene, openSync("/dev/full", "w"));
      await scene.last(10_000);
      const atMs = scene.fault("ten seconds later");
      const recoveryMs = await scene.flowing(atMs);
      scene.notes.push(`unread pipe: ${await stateOf(scene, unread)}`);
      scene.notes.push(`full disk: ${await stateOf(scene, diskless)}`);
      for (const child of [unread, diskless]) child.kill("SIGKILL");
      scene.fault("kill -9 both");
      await scene.last(leaseTtlMs);
      return { duplicatesMax: 2 * inFlightMax, recoveryMs };
    },
  },
];
