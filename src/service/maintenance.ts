/** Periodic chores, all on node-cron: the sweep, the count of the backlog, scheduled runs. Its only home. */
import { createTask, type ScheduledTask, setLogger } from "node-cron";
import type { Logger } from "pino";
import { messageOf } from "../foundation/errors.ts";
import type { Lifecycle } from "../foundation/lifecycle.ts";

export interface Chore {
  readonly name: string;
  /** A cron expression with seconds. */
  readonly cron: string;
  readonly run: () => Promise<void>;
  /** Told of a tick that came while `run` was still under way. Without it, node-cron's own line is logged. */
  readonly onSkip?: () => void;
  /** Told of a tick for which this process was not awake. */
  readonly onMiss?: (dueAt: Date) => void;
}

export class Maintenance implements Lifecycle {
  readonly #tasks: readonly ScheduledTask[];
  #running = new Set<Promise<void>>();

  constructor(chores: readonly Chore[], log: Logger) {
    setLogger(cronLogger(log));
    this.#tasks = chores.map((chore) => this.#taskOf(chore, log));
  }

  #taskOf({ name, cron, run, onSkip, onMiss }: Chore, log: Logger): ScheduledTask {
    const options = { name, noOverlap: true };
    // What a chore says itself must not be said a second time, in node-cron's words.
    const quiet =
      onSkip === undefined ? options : { ...options, logger: { ...cronLogger(log), warn: ignore } };
    const task = createTask(cron, () => this.#track(name, run, log), quiet);
    if (onSkip !== undefined) task.on("execution:overlap", onSkip);
    if (onMiss !== undefined) task.on("execution:missed", ({ date }) => onMiss(date));
    return task;
  }

  async #track(name: string, run: () => Promise<void>, log: Logger): Promise<void> {
    const running = run().catch((error) => log.warn({ chore: name }, `${name} failed: ${messageOf(error)}`));
    this.#running.add(running);
    await running;
    this.#running.delete(running);
  }

  async start(): Promise<void> {
    for (const task of this.#tasks) await task.start();
  }

  /** node-cron does not wait for what is running; this does. */
  async stop(): Promise<void> {
    for (const task of this.#tasks) await task.destroy();
    await Promise.all(this.#running);
  }
}

const ignore = () => undefined;

/** node-cron writes coloured text to the console unless it is given a logger. */
function cronLogger(log: Logger): Parameters<typeof setLogger>[0] {
  return {
    info: (message) => log.debug(message),
    warn: (message) => log.warn(message),
    error: (message) => log.error(messageOf(message)),
    debug: (message) => log.debug(messageOf(message)),
  };
}
