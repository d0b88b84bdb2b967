/**
 * A Kafka with transactions, as a model of one shard group: what is committed under which number, and
 * who may still commit. A commit can fail in all the ways a real one can, and one that was given up can
 * still be carried out later, until somebody fences it.
 */
import { progressUpTo } from "../../src/event/acknowledgement.ts";
import type { Message } from "../../src/event/message.ts";
import { OutriderError } from "../../src/foundation/errors.ts";
import type { CommitOutcome, TransactionalPublisher } from "../../src/publisher/transactional-publisher.ts";

/**
 * `lost`: committed, and nobody hears of it. `late`: the commit is under way and is carried out at some
 * later moment unless it is fenced. `dropped`: it never arrives, and nobody hears of that either.
 */
export type CommitFate = "done" | "aborted" | "refused" | "lost" | "late" | "dropped";

interface Pending {
  readonly epoch: number;
  readonly number: number;
  readonly events: readonly string[];
}

export class ModelTransactions {
  readonly committed: string[] = [];
  number: number | null = null;
  #epoch = 0;
  #late: Pending | undefined;

  fence(): number {
    this.#epoch += 1;
    this.#late = undefined;
    return this.#epoch;
  }

  /** What is still under way arrives, if it is not too late for it. */
  arrive(): void {
    const late = this.#late;
    this.#late = undefined;
    if (late !== undefined) this.#apply(late);
  }

  #apply({ epoch, number, events }: Pending): boolean {
    if (epoch !== this.#epoch) return false;
    this.committed.push(...events);
    this.number = number;
    return true;
  }

  commit(pending: Pending, fate: CommitFate): CommitOutcome {
    const trouble = `fate: ${fate}`;
    const isRefused = fate === "refused";
    if (fate === "aborted" || isRefused) return { kind: "aborted", isRefused, rejections: [], trouble };
    if (fate === "late") this.#late = pending;
    if (fate === "lost") this.#apply(pending);
    if (fate !== "done") return { kind: "unknown", trouble };
    if (this.#apply(pending)) return { kind: "committed", progress: progressUpTo(pending.number) };
    return { kind: "aborted", isRefused: false, rejections: [], trouble: "fenced" };
  }
}

export interface ModelOptions {
  readonly kafka: ModelTransactions;
  readonly nextFate: () => CommitFate;
  /** Whether the broker can be reached at this moment. */
  readonly isThere?: () => boolean;
}

/** One relay's end of it. A producer that has failed is spent: it has to be taken over again. */
export function modelPublisher({
  kafka,
  nextFate,
  isThere = () => true,
}: ModelOptions): TransactionalPublisher {
  let epoch: number | undefined;
  return {
    connect: async () => undefined,
    takeOver: async () => {
      if (!isThere()) throw new OutriderError("BROKER_UNAVAILABLE", "away", { retriable: true });
      epoch = kafka.fence();
      return kafka.number === null ? null : progressUpTo(kafka.number);
    },
    prepare: async (messages) => ({
      sendable: messages,
      report: { acks: [], rejections: [], unknowns: [], held: [] },
    }),
    commit: async (number: number, sendable: readonly Message[], mayCommit: () => Promise<boolean>) => {
      const aborted = { kind: "aborted", isRefused: false, rejections: [] } as const;
      if (epoch === undefined) return { ...aborted, trouble: "spent" };
      if (!(await mayCommit())) {
        epoch = undefined;
        return { ...aborted, trouble: "it may not be committed" };
      }
      const events = sendable.map(({ event }) => event.eventId);
      const outcome = kafka.commit({ epoch, number, events }, sendable.length === 0 ? "done" : nextFate());
      if (outcome.kind !== "committed") epoch = undefined;
      return outcome;
    },
    close: async () => undefined,
  };
}
