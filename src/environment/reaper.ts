/**
 * Ends what we started, however we end. One small shell process reads our pipe; when the pipe closes
 * (return, exit, any signal, even SIGKILL) it kills every process it was told to watch and removes
 * the directory they lived in. No signal handler is installed, so the signals of the program around
 * us (a relay that wants to shut down cleanly, a test runner) keep their own meaning.
 *
 * It runs in its own process group: Ctrl-C in a terminal reaches neither it nor what it watches.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { OutriderError } from "../foundation/errors.ts";

/** Seconds that a process is given to follow its signal before it is killed outright. */
const graceSeconds = 8;

const script = `
trap '' INT TERM HUP
watched=
while read -r verb pid signal; do
  case $verb in
    watch) watched="$watched $pid:$signal" ;;
    forget)
      kept=
      for entry in $watched; do [ "\${entry%%:*}" = "$pid" ] || kept="$kept $entry"; done
      watched=$kept ;;
  esac
done
for entry in $watched; do kill -s "\${entry##*:}" "\${entry%%:*}"; kill -s CONT "\${entry%%:*}"; done
tick=0
for entry in $watched; do
  while kill -0 "\${entry%%:*}" && [ $tick -lt ${graceSeconds * 10} ]; do sleep 0.1; tick=$((tick + 1)); done
  kill -s KILL "\${entry%%:*}"
done
rm -rf "$1"
`;

export interface Reaper {
  /** Sends `signal` to the process should we end without having called `forget`. */
  watch(pid: number, signal: NodeJS.Signals): void;
  forget(pid: number): void;
  /** A new directory that goes away with us; remove it with `removeDirectory` when done earlier. */
  makeDirectory(name: string): Promise<string>;
  removeDirectory(path: string): Promise<void>;
}

let shared: Reaper | undefined;

/** The reaper of this process; started on first use. */
export function reaper(): Reaper {
  shared ??= startReaper();
  return shared;
}

function startReaper(): Reaper {
  const root = mkdtempSync(join(tmpdir(), "outrider-"));
  // PostgreSQL runs as another user when we are root, and has to get through to its own directory.
  chmodSync(root, 0o711);
  const shell = spawn("sh", ["-c", script, "outrider-reaper", root], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const tell = whileAlive(shell);
  return {
    watch: (pid, signal) => tell(`watch ${pid} ${signal.replace("SIG", "")}\n`),
    forget: (pid) => tell(`forget ${pid}\n`),
    makeDirectory: (name) => mkdtemp(join(root, `${name}-`)),
    removeDirectory: (path) => rm(path, { recursive: true, force: true, maxRetries: 5 }),
  };

  function whileAlive(child: ChildProcess & { stdin: Writable }): (line: string) => void {
    let failure: Error | undefined;
    const fail = (error: Error) => {
      failure = error;
    };
    child.on("error", fail);
    child.stdin.on("error", fail);
    child.unref();
    if ("unref" in child.stdin && typeof child.stdin.unref === "function") child.stdin.unref();
    if (child.pid === undefined) {
      rmdirSync(root);
      throw new OutriderError("PART_MISSING", "a POSIX shell (sh) is needed to run servers of our own", {
        repair: "set DATABASE_URL and KAFKA_BROKERS, or run on Linux, macOS or WSL",
      });
    }
    return (line) => {
      if (failure !== undefined) {
        throw new OutriderError("PART_MISSING", "the process that ends our servers with us is gone", {
          cause: failure,
        });
      }
      child.stdin.write(line);
    };
  }
}
