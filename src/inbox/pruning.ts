/**
 * The chore that prunes an inbox which lives beside the outbox. It asks before it deletes, because most
 * outboxes have no inbox beside them, and a relay's role often may not touch it: both are said once, and
 * again only after it had worked in between. Neither is a fault of the relay.
 */
import type { AnsweringTransaction } from "../foundation/transaction.ts";
import { inbox } from "./inbox.ts";
import { prunableStatement } from "./statements.ts";

export type PruningObstacle = "missing" | "forbidden";

export interface PruningOptions {
  readonly schema: string;
  readonly retentionMs: number;
  /** Most marks that one statement deletes. */
  readonly rowsMax: number;
}

/** Each statement is a transaction of its own. */
export interface PruningConnection extends AnsweringTransaction {
  close(): Promise<void>;
}

export interface PruningListener {
  pruned(rows: number): void;
  obstructed(obstacle: PruningObstacle): void;
}

/** Deletions of one run; what is left waits for the next, so that a stop never waits long. */
const batchesMax = 200;

export class InboxPruning {
  readonly #connect: () => PruningConnection;
  readonly #options: PruningOptions;
  readonly #listener: PruningListener;
  #said: PruningObstacle | undefined;
  #isStopped = false;

  /** A connection is opened for each run and closed after it: between two runs there is nothing to hold. */
  constructor(connect: () => PruningConnection, options: PruningOptions, listener: PruningListener) {
    this.#connect = connect;
    this.#options = options;
    this.#listener = listener;
  }

  /** Deletes in batches until nothing is old any more. @throws OutriderError when PostgreSQL is away. */
  async run(): Promise<void> {
    const connection = this.#connect();
    try {
      const [state] = await connection.ask(prunableStatement, [this.#options.schema]);
      if (state === "missing" || state === "forbidden") this.#sayOnce(state);
      else await this.#prune(connection);
    } finally {
      await connection.close();
    }
  }

  /** Ends a run after the batch it is at. */
  stop(): void {
    this.#isStopped = true;
  }

  async #prune(connection: PruningConnection): Promise<void> {
    this.#said = undefined;
    let rows = 0;
    try {
      for (let batch = 0; batch < batchesMax && !this.#isStopped; batch++) {
        const removed = await inbox.prune(connection, this.#options);
        rows += removed;
        if (removed < this.#options.rowsMax) break;
      }
    } finally {
      if (rows > 0) this.#listener.pruned(rows);
    }
  }

  #sayOnce(obstacle: PruningObstacle): void {
    if (this.#said === obstacle) return;
    this.#said = obstacle;
    this.#listener.obstructed(obstacle);
  }
}
