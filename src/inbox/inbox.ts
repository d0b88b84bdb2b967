/**
 * Idempotent Consumer: runs the work for an event once, in the consumer's own transaction. The mark
 * "processed" and the effects of the work are in one commit, so neither is ever there without the other.
 *
 *     await client.query("begin");
 *     await inbox.once(fromPg(client), "billing", message.headers.event_id, async () => {
 *       await client.query("update accounts set balance = balance + $1 where id = $2", [amount, account]);
 *     });
 *     await client.query("commit");
 *     // and only now tell Kafka that the message is done
 *
 * One event, by the key (consumer, event_id) of `processed_events`:
 *
 *     delivered ──mark──► new ────────────► work ──► commit: processed, for good
 *                 │                          └─throws─► transaction spoilt: not processed, will run again
 *                 ├─► processed ─► skipped
 *                 └─► another transaction holds the mark: wait for its end
 *                        its commit ─► skipped          its rollback ─► new
 *
 * What it cannot do: undo what the work did outside of this database (a call, a mail, another
 * database). And a mark protects as long as it is kept: see `prune`.
 */
import type { AnsweringTransaction } from "../foundation/transaction.ts";
import {
  checkedBatch,
  checkedOnce,
  checkedPruning,
  type EventIdSource,
  type InboxOptions,
  type PruneOptions,
} from "./arguments.ts";
import { markEachStatement, markStatement, pruneStatement, spoilStatement } from "./statements.ts";

export type { EventIdSource, InboxOptions, PruneOptions } from "./arguments.ts";

/** Whether this was the first delivery, and then what the work returned. */
export type OnceOutcome<T> = { readonly isFirst: true; readonly result: T } | { readonly isFirst: false };

/** Whether there was anything new to run the work with, how many events, and what it returned. */
export type BatchOutcome<T> =
  | { readonly hasRun: true; readonly freshCount: number; readonly result: T }
  | { readonly hasRun: false; readonly freshCount: 0 };

/**
 * Runs the work unless this consumer has processed the event already. `consumer` names who processes,
 * 1 to 255 characters; consumers with different names do not see each other's marks, and the processes
 * of one consumer share its name. Everything the work writes must go through the same transaction.
 *
 * Await it, then commit, then acknowledge the delivery. Two deliveries at once: the second waits for the
 * first one's transaction. It skips when that commits, and runs when that rolls back. So that two
 * transactions with several events each cannot wait for each other, keep the events of a transaction in
 * one order (or use `onceBatch`, which sorts); a deadlock is an error 40P01 of the database, to be retried.
 *
 * Isolation: made for READ COMMITTED, PostgreSQL's default. Under REPEATABLE READ and SERIALIZABLE a
 * delivery that waited for another one gets a serialization failure (40001) instead of skipping: retry
 * the transaction, and it will skip.
 *
 * When the work throws, the same error is thrown here, and the transaction (or the savepoint it is in)
 * can no longer commit, also when the error is caught: what was done in half must not stay. The reverse
 * is beyond reach: work that swallows an error of the *database* returns normally, but PostgreSQL will
 * turn its COMMIT into a rollback without a word. Let such errors through, or use a savepoint.
 *
 * @throws OutriderError INBOX_INVALID when consumer, event id or options cannot be used.
 * @throws OutriderError TRANSACTION_INVALID when the transaction turns out to be none.
 * @throws whatever the work or the database library throws: roll back, and have the event delivered again.
 */
async function once<T>(
  transaction: AnsweringTransaction,
  consumer: string,
  eventId: EventIdSource,
  work: () => Promise<T>,
  options: InboxOptions = {},
): Promise<OnceOutcome<T>> {
  const id = checkedOnce(consumer, eventId, options);
  const marked = await transaction.ask(markStatement(options.schema), [consumer, id]);
  if (marked.length === 0) return { isFirst: false };
  return { isFirst: true, result: await spoilingOnError(transaction, work) };
}

/**
 * `once` for many events with one statement, at most 10,000: the work runs with those that are new, each
 * of them once and in the order given, and not at all when none is. All of them count as processed with
 * the commit, or none. `idOf` finds the event id, for instance `(message) => message.headers?.event_id`.
 *
 * @throws like `once`.
 */
async function onceBatch<E, T>(
  transaction: AnsweringTransaction,
  consumer: string,
  events: readonly E[],
  idOf: (event: E) => EventIdSource,
  work: (fresh: readonly E[]) => Promise<T>,
  options: InboxOptions = {},
): Promise<BatchOutcome<T>> {
  const byId = checkedBatch(consumer, events, idOf, options);
  if (byId.size === 0) return nothingRan;
  const ids = [...byId.keys()].join(",");
  const marked = new Set(await transaction.ask(markEachStatement(options.schema), [consumer, ids]));
  const fresh = [...byId].filter(([id]) => marked.has(id)).map(([, event]) => event);
  if (fresh.length === 0) return nothingRan;
  const result = await spoilingOnError(transaction, () => work(fresh));
  return { hasRun: true, freshCount: fresh.length, result };
}

const nothingRan = { hasRun: false, freshCount: 0 } as const;

/**
 * Deletes the oldest marks that are older than `retentionMs` by the database's clock, at most `rowsMax`
 * of them, and returns how many: call it again, in a transaction of its own each time, while that is
 * `rowsMax`. For the consumer's own scheduler; the relay has a chore that does the same.
 *
 * An event whose mark is gone runs again when it is delivered again. So the retention must be longer
 * than anything that can still deliver it: the `retention.ms` of the topic (offsets can be reset to its
 * beginning, and are forgotten after `offsets.retention.minutes`), and the time for which a dead letter
 * may lie before someone redrives it.
 *
 * @throws OutriderError INBOX_INVALID when a number is out of bounds; TRANSACTION_INVALID as in `once`.
 */
async function prune(transaction: AnsweringTransaction, options: PruneOptions): Promise<number> {
  const { retentionMs, rowsMax } = checkedPruning(options);
  const [removed] = await transaction.ask(pruneStatement(options.schema), [
    String(retentionMs),
    String(rowsMax),
  ]);
  return Number(removed);
}

export const inbox = { once, onceBatch, prune } as const;

/** Work that failed must not be committed with its mark: the event would be lost, and nobody would know. */
async function spoilingOnError<T>(transaction: AnsweringTransaction, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    // It always fails; and where the transaction has ended or the connection is gone, nothing can commit.
    await transaction.execute(spoilStatement, []).catch(() => undefined);
    throw thrown;
  }
}
