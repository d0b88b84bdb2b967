/**
 * One server of our own as a child process: started, known to accept, killed, started again, ended.
 * Its output goes to a file, never to a pipe: a full or broken pipe would change how it behaves.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { systemClock } from "../foundation/clock.ts";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import { reaper } from "./reaper.ts";

/** A server that tests may hurt. */
export interface OwnProcess {
  /** Undefined while it does not run. */
  readonly pid: number | undefined;
  /** Sends a signal and does not wait: SIGSTOP, SIGCONT, SIGHUP. */
  signal(name: NodeJS.Signals): void;
  /** Ends it (default SIGKILL) and resolves when it is gone; its files stay. */
  kill(name?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same files and port, ending it first if need be; resolves when it accepts. */
  restart(): Promise<void>;
}

export interface ServerCommand {
  /** For messages: "PostgreSQL", "Kafka broker 1". */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly owner?: UnixOwner | undefined;
  readonly logFile: string;
  /** What ends it at once when we die. */
  readonly lastSignal: NodeJS.Signals;
  /** Resolves when the server accepts; rejects while it does not yet. */
  probe(): Promise<void>;
}

export interface UnixOwner {
  readonly uid: number;
  readonly gid: number;
}

const startTimeoutMs = 60_000;
const probePauseMs = 40;
const endTimeoutMs = 15_000;

export class ServerProcess implements OwnProcess {
  readonly #command: ServerCommand;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(command: ServerCommand) {
    this.#command = command;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): Promise<void> {
    return this.#start(false);
  }

  async #start(isEndingForgiven: boolean): Promise<void> {
    this.#spawn();
    const deadlineMs = systemClock.monotonicMs() + startTimeoutMs;
    for (;;) {
      try {
        return await this.#command.probe();
      } catch (error) {
        // Not up yet is the usual answer here; only its end or the deadline make it a failure.
        if (this.#child === undefined && !isEndingForgiven) {
          throw await this.#failure("ended before it accepted connections");
        }
        if (systemClock.monotonicMs() > deadlineMs) {
          await this.kill();
          throw await this.#failure(`did not accept connections in time (${messageOf(error)})`);
        }
        await systemClock.sleep(probePauseMs);
        if (this.#child === undefined) this.#spawn();
      }
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async kill(name: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#child === undefined) return;
    this.#child.kill(name);
    const waiting = new AbortController();
    const isGone = await Promise.race([
      this.#ended.then(() => true),
      systemClock.sleep(endTimeoutMs, waiting.signal).then(() => false),
    ]);
    waiting.abort();
    if (isGone) return;
    this.signal("SIGKILL");
    await this.#ended;
  }

  async restart(): Promise<void> {
    await this.kill();
    // PostgreSQL refuses to start while backends of a killed one still hold its shared memory.
    await this.#start(true);
  }

  #spawn(): void {
    const { file, args, env, owner, logFile, lastSignal } = this.#command;
    const log = openSync(logFile, "a");
    const child = spawn(file, args, { detached: true, stdio: ["ignore", log, log], env, ...owner });
    closeSync(log);
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      const end = () => {
        if (child.pid !== undefined) reaper().forget(child.pid);
        if (this.#child === child) this.#child = undefined;
        resolve();
      };
      child.once("exit", end);
      child.once("error", end);
    });
    if (child.pid !== undefined) reaper().watch(child.pid, lastSignal);
    child.unref();
  }

  async #failure(what: string): Promise<OutriderError> {
    const log = await readFile(this.#command.logFile, "utf8").catch(() => "");
    const tail = log.trim().split("\n").slice(-5).join("\n");
    return new OutriderError("PART_MISSING", `${this.#command.name} ${what}\n${tail}`.trim());
  }
}
