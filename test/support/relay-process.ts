/** The relay as its users run it: a process of its own, killed with real signals. */
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const entry = fileURLToPath(new URL("../../bin/outrider.js", import.meta.url));

export interface LogLine {
  readonly level: string;
  readonly event?: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class RelayProcess {
  static readonly #running = new Set<RelayProcess>();

  /** Ends what a failed test has left running. */
  static async endAll(): Promise<void> {
    await Promise.all([...RelayProcess.#running].map((relay) => relay.end("SIGKILL")));
  }

  readonly lines: LogLine[] = [];
  readonly exited: Promise<Exit>;
  stderr = "";
  readonly #child: ChildProcess;
  readonly #said = new EventEmitter();

  /** `environment` is all that the process sees besides PATH; `events` go to standard output under stdout. */
  constructor(environment: Readonly<Record<string, string>>, args: readonly string[] = ["relay"]) {
    this.#child = spawn(process.execPath, [entry, ...args], {
      env: { PATH: process.env.PATH, NODE_ENV: "test", ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.exited = once(this.#child, "exit").then(([code, signal]) => ({ code, signal }) as Exit);
    this.#said.setMaxListeners(100);
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error("the pipes were asked for");
    createInterface({ input: stdout }).on("line", (line) => this.#hear(line));
    stderr.on("data", (chunk) => {
      this.stderr += String(chunk);
    });
    RelayProcess.#running.add(this);
    this.#child.on("exit", () => {
      RelayProcess.#running.delete(this);
      this.#said.emit("exit");
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  #hear(line: string): void {
    try {
      this.lines.push(JSON.parse(line) as LogLine);
    } catch {
      this.lines.push({ level: "unparsable", msg: line });
    }
    this.#said.emit("line", this.lines.at(-1));
  }

  /** Resolves with the first line, past ones included, that says this event; rejects when the process ends first. */
  heard(event: string, accepts: (line: LogLine) => boolean = () => true): Promise<LogLine> {
    const matches = (line: LogLine) => line.event === event && accepts(line);
    const past = this.lines.find(matches);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve, reject) => {
      const onLine = (line: LogLine) => {
        if (!matches(line)) return;
        this.#said.off("line", onLine).off("exit", onExit);
        resolve(line);
      };
      const onExit = () =>
        reject(new Error(`the relay ended before "${event}": ${this.stderr || this.lines.at(-1)?.msg}`));
      this.#said.on("line", onLine).on("exit", onExit);
    });
  }

  /** Resolves when it has said this event so many times. */
  async heardTimes(event: string, times: number): Promise<void> {
    let left = times;
    const seen = new Set<LogLine>();
    while (left > 0) {
      seen.add(await this.heard(event, (line) => !seen.has(line)));
      left -= 1;
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends the signal and waits for the end. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    return this.exited;
  }
}
