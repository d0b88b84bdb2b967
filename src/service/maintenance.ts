/** Periodic chores, all on node-cron: the sweep and the count of the backlog. Its only home. */
import { createTask, type ScheduledTask, setLogger } from "node-cron";
import type { Logger } from "pino";
import { messageOf } from "../foundation/errors.ts";
import type { Lifecycle } from "../foundation/lifecycle.ts";

export interface Chore {
  readonly name: string;
  /** A cron expression with seconds. */
  readonly cron: string;
  readonly run: () => Promise<void>;
}

export class Maintenance implements Lifecycle {
  readonly #tasks: readonly ScheduledTask[];
  #running = new Set<Promise<void>>();

  constructor(chores: readonly Chore[], log: Logger) {
    setLogger(cronLogger(log));
    this.#tasks = chores.map(({ name, cron, run }) =>
      createTask(cron, () => this.#track(name, run, log), { name, noOverlap: true }),
    );
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

/** node-cron writes coloured text to the console unless it is given a logger. */
function cronLogger(log: Logger): Parameters<typeof setLogger>[0] {
  return {
    info: (message) => log.debug(message),
    warn: (message) => log.warn(message),
    error: (message) => log.error(messageOf(message)),
    debug: (message) => log.debug(messageOf(message)),
  };
}
