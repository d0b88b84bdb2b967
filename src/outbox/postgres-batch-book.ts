/** The book of batches on PostgreSQL: `outrider_batch_intents`, one row a shard group. */
import { invariant } from "../foundation/errors.ts";
import type { Batch, BatchBook, Delivery, Page, RemovableRow, Seat, SettledBatch } from "./batch-book.ts";
import type { DatabaseConfig } from "./database-config.ts";
import { PostgresSession } from "./postgres-session.ts";
import { isKeptRemoval, plainArray, quoteIdentifier, removalMark } from "./statements.ts";

interface Line {
  readonly number: number;
  readonly eventIds: readonly string[] | null;
  readonly delivery: Delivery | null;
  readonly remove: readonly RemovableRow[];
}

type PageRow = [number: string, eventIds: string[] | null, delivery: Delivery | null];

/** A `tid` that no row has, for rows whose place is not known. */
const nowhere = "(0,0)";

export class PostgresBatchBook implements BatchBook {
  readonly #sessions: readonly PostgresSession[];
  readonly #schema: string;

  /**
   * `sessionCount`: how many groups can write at the same time. Every line waits for the disk; on one
   * session the groups wait for each other's, on several PostgreSQL writes them together.
   */
  constructor(config: DatabaseConfig, sessionCount = 1) {
    this.#sessions = Array.from(
      { length: sessionCount },
      () => new PostgresSession(config, "outrider relay (batches)", { isPinned: true }),
    );
    this.#schema = quoteIdentifier(config.schema);
  }

  /** Always the same one for a group: its lines are written in the order in which they were asked for. */
  #sessionOf(group: number): PostgresSession {
    return this.#sessions[group % this.#sessions.length] as PostgresSession;
  }

  async identity(): Promise<string> {
    const [row] = await this.#sessionOf(0).query<[string]>(
      `select outbox_id::text from ${this.#schema}.outrider_identity`,
    );
    invariant(row !== undefined, "outrider_identity is empty");
    return row[0];
  }

  async takeOver({ group, term }: Seat): Promise<Page | null> {
    // The same term again is the same relay again, after an error.
    const [row] = await this.#sessionOf(group).query<PageRow>(
      `update ${this.#schema}.outrider_batch_intents set term = $2
        where shard_group = $1 and term <= $2
       returning number::text, event_ids::text[], delivery`,
      [group, term],
    );
    if (row === undefined) return null;
    const [number, eventIds, delivery] = row;
    const open = eventIds === null || delivery === null ? null : { eventIds, delivery };
    return { number: Number(number), open };
  }

  enter(seat: Seat, { number, rows }: Batch, settled: SettledBatch | null): Promise<number | null> {
    const eventIds = rows.map(({ eventId }) => eventId);
    return this.#write(seat, { number, eventIds, delivery: "exactly-once", remove: rowsOf(settled) });
  }

  enterAndRemove(seat: Seat, { number, rows }: Batch): Promise<number | null> {
    const eventIds = rows.map(({ eventId }) => eventId);
    return this.#write(seat, { number, eventIds, delivery: "at-most-once", remove: rows });
  }

  close(seat: Seat, number: number, settled: SettledBatch | null): Promise<number | null> {
    return this.#write(seat, { number, eventIds: null, delivery: null, remove: rowsOf(settled) });
  }

  /**
   * A number below the one that is written would undo a batch that may be in Kafka by now.
   *
   * The line and the deletions are one statement. Rows are deleted by their address and key, and what is
   * not found that way by key alone: both here, because whatever came after a commit could be cut off, and
   * the line that knows these rows would be overwritten by then. The keys of the second deletion, which are
   * nearly always none, are worked out as it runs: as given values the planner would weigh each of them.
   */
  async #write({ group, term }: Seat, line: Line): Promise<number | null> {
    const table = `${this.#schema}.undispatched_events`;
    const mark = `(select true from pg_advisory_xact_lock_shared(${removalMark.classId}, ${removalMark.objectId}))`;
    const written = `with written as (
       update ${this.#schema}.outrider_batch_intents
          set number = $3, event_ids = $4::uuid[], delivery = $5, written_at = clock_timestamp()
        where shard_group = $1 and term = $2 and number <= $3
       returning 1
     )`;
    const eventIds = line.eventIds === null ? null : plainArray(line.eventIds);
    const page = [group, term, line.number, eventIds, line.delivery];
    if (line.remove.length === 0) {
      const [row] = await this.#sessionOf(group).query<[number, number]>(
        `${written} select count(*)::int from written`,
        page,
        { keep: "pinned" },
      );
      return row?.[0] === 1 ? 0 : null;
    }
    const [row] = await this.#sessionOf(group).query<[number, number]>(
      `${written}, removed as (
         delete from ${table}
          where ctid = any ($6::tid[]) and (event_id = any ($7::uuid[])) is true
            and exists (select from written) and ${mark}
         returning event_id
       ), removed_by_key as (
         delete from ${table}
          where event_id = any (array(
                  select id from unnest($7::uuid[]) as id
                   where (select count(*) from removed) < cardinality($7::uuid[])
                     and id not in (select event_id from removed)))
            and exists (select from written)
         returning 1
       )
       select (select count(*)::int from written),
              (select count(*)::int from removed) + (select count(*)::int from removed_by_key)`,
      [
        ...page,
        plainArray(line.remove.map(({ rowHint = nowhere }) => rowHint)),
        plainArray(line.remove.map(({ eventId }) => eventId)),
      ],
      isKeptRemoval(line.remove.length) ? { keep: "pinned" } : {},
    );
    return row?.[0] === 1 ? row[1] : null;
  }

  async end(): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session.close()));
  }
}

function rowsOf(settled: SettledBatch | null): readonly RemovableRow[] {
  if (settled === null) return [];
  invariant(settled.number <= settled.progress.number, "rows of a batch that is not known to be committed");
  return settled.rows;
}
