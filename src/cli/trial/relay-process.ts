/**
 * The relay as a process of its own, as it runs beside an application: `outrider relay`, told by its
 * environment, heard by its log. Or what it is measured against, which talks the same way.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../foundation/clock.ts";
import { OutriderError } from "../../foundation/errors.ts";
import type { Environment } from "../../service/config.ts";

const stopWithinMs = 30_000;
const entry = fileURLToPath(new URL("../../../bin/outrider.js", import.meta.url));

export interface RelayListener {
  /** A warning or an error from the relay's log. */
  onRemark(message: string): void;
  /** The relay ended though nobody had asked it to. */
  onEnded(error: OutriderError): void;
}

export class RelayProcess {
  /** Settles once the relay relays, or has ended before it could. */
  readonly started: Promise<void>;
  /** What the relay writes to its standard output, when that is where events go. */
  readonly events: Readable | undefined;
  readonly #child: ChildProcess;
  /** The exit code; null after a signal. */
  readonly #ended: Promise<number | null>;
  #isStopping = false;

  constructor(environment: Environment, listener: RelayListener, command: "relay" | "bench-loop" = "relay") {
    const isStdout = environment.OUTRIDER_PUBLISHER === "stdout";
    // A process group of its own: Ctrl-C on a terminal is for the demo, which then stops the relay.
    const child = spawn(process.execPath, [entry, command], {
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    this.#child = child;
    this.events = isStdout ? child.stdout : undefined;
    const killNow = () => child.kill("SIGKILL");
    process.once("exit", killNow);
    let lastRemark = "";
    this.started = new Promise((resolve, reject) => {
      const onLine = (line: string) => {
        const { event, level, message } = parseLogLine(line);
        if (event === "relay-started" || event === "loop-started") resolve();
        if (level === "info" || level === "debug") return;
        lastRemark = message;
        listener.onRemark(message);
      };
      for (const stream of isStdout ? [child.stderr] : [child.stdout, child.stderr])
        createInterface({ input: stream }).on("line", onLine);
      child.once("close", (code, signal) => {
        const error = endedEarly(code ?? signal, lastRemark);
        reject(error);
        if (!this.#isStopping) listener.onEnded(error);
      });
    });
    // Whoever awaits `started` hears of it; nobody has to.
    this.started.catch(() => undefined);
    this.#ended = new Promise((resolve) => {
      child.once("close", (code) => {
        process.off("exit", killNow);
        resolve(code);
      });
    });
  }

  /**
   * Asks it to finish what is in flight, and ends it for good when it does not. Resolves to whether it
   * stopped by itself and with success. Idempotent.
   */
  async stop(clock: Clock): Promise<boolean> {
    this.#isStopping = true;
    this.#child.kill("SIGTERM");
    const waiting = new AbortController();
    const late = clock.sleep(stopWithinMs, waiting.signal).then(() => {
      if (!waiting.signal.aborted) this.#child.kill("SIGKILL");
    });
    const code = await this.#ended;
    waiting.abort();
    await late;
    return code === 0;
  }
}

interface LogLine {
  readonly event: string | undefined;
  readonly level: string;
  readonly message: string;
}

/** A line that is no JSON is what a process says that could not even start. */
function parseLogLine(line: string): LogLine {
  try {
    const { event, level, msg } = JSON.parse(line) as { event?: string; level?: string; msg?: string };
    return { event, level: level ?? "info", message: msg ?? "" };
  } catch {
    return { event: undefined, level: "error", message: line };
  }
}

function endedEarly(how: number | string | null, lastRemark: string): OutriderError {
  const reason = lastRemark === "" ? "" : `: ${lastRemark}`;
  return new OutriderError("RELAY_ENDED", `the relay ended (${how ?? "for an unknown reason"})${reason}`);
}
