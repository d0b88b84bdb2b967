/**
 * Writes events in the caller's transaction. They become visible to the relay with its commit and
 * vanish with its rollback; that is the whole promise of an outbox, and why a connection that is in
 * no transaction is refused (`foundation/transaction.ts`).
 *
 *     await client.query("begin");
 *     await client.query("insert into orders …");
 *     await enqueue(fromPg(client), { aggregateId: order.id, eventType: "OrderPlaced", payload: order });
 *     await client.query("commit");
 *
 * Everything is checked before the database is touched, and all faults come in one error: a statement
 * that PostgreSQL refuses would have spoilt the transaction for the business data, too.
 */
import type { NewEvent } from "../event/event.ts";
import { OutriderError } from "../foundation/errors.ts";
import { schemaProblem } from "../foundation/sql-text.ts";
import type { Transaction } from "../foundation/transaction.ts";
import { insertStatements } from "./insert-statement.ts";
import { isBytes, type PayloadType } from "./payload.ts";
import { type EventRow, toRow } from "./row.ts";
import { activeTraceHeaders } from "./trace-context.ts";

export interface EnqueueOptions {
  /** Where `undispatched_events` lives. Default: the `search_path` of the connection decides. */
  readonly schema?: string;
  /**
   * What the column `event_payload` was migrated to. Default: `bytea` when a payload is bytes, else
   * `json`, which also fits a jsonb column. Say `bytea` when you write JSON into a table of bytes
   * (it is stored as UTF-8), and `jsonb` to have checked beforehand what only jsonb refuses.
   */
  readonly payloadType?: PayloadType;
}

/**
 * Writes one event or many, in the order given, and returns their ids in that order.
 *
 * When the active OpenTelemetry span can be found, `traceparent` and `tracestate` are added to the
 * headers, unless the event brings its own `traceparent`.
 *
 * @throws OutriderError EVENT_INVALID naming every fault by index and field, before anything is written.
 * @throws OutriderError TRANSACTION_INVALID when the transaction turns out to be none.
 * @throws whatever the database library throws: its transaction is then spoilt, roll it back.
 */
export async function enqueue(
  transaction: Transaction,
  events: NewEvent | readonly NewEvent[],
  options: EnqueueOptions = {},
): Promise<readonly string[]> {
  const list = isList(events) ? events : [events];
  const { schema } = options;
  const type = options.payloadType ?? (list.some((event) => isBytes(event?.payload)) ? "bytea" : "json");
  const rows = checkedRows(list, type, schema, isList(events));
  for (const { sql, texts } of insertStatements(rows, type, schema)) await transaction.execute(sql, texts);
  return rows.map((row) => row.event_id);
}

/** `Array.isArray` alone does not narrow a readonly array. */
function isList(events: NewEvent | readonly NewEvent[]): events is readonly NewEvent[] {
  return Array.isArray(events);
}

function checkedRows(
  events: readonly NewEvent[],
  type: PayloadType,
  schema: string | undefined,
  isIndexed: boolean,
): readonly EventRow[] {
  const faults: string[] = [];
  const trace = activeTraceHeaders();
  const places = new Map<string, string>();
  checkOptions(type, schema, (problem) => faults.push(problem));
  // Array.from, because map skips the holes of a sparse list.
  const rows = Array.from(events, (event, index) => {
    const place = isIndexed ? `events[${index}]` : "event";
    if (typeof event !== "object" || event === null) {
      faults.push(`${place} is no object`);
      return undefined;
    }
    const row = toRow(event, type, trace, (field, problem) => faults.push(`${place}.${field} ${problem}`));
    const twin = row.event_id === "" ? undefined : places.get(row.event_id);
    if (twin !== undefined) faults.push(`${place}.eventId is the same as that of ${twin}`);
    places.set(row.event_id, place);
    return row;
  });
  if (faults.length > 0) throw invalid(faults);
  return rows.filter((row) => row !== undefined);
}

const payloadTypes: readonly unknown[] = ["json", "jsonb", "bytea"] satisfies PayloadType[];

function checkOptions(type: unknown, schema: unknown, complain: (problem: string) => void): void {
  if (!payloadTypes.includes(type)) complain("options.payloadType is none of json, jsonb, bytea");
  const problem = schemaProblem(schema);
  if (problem !== undefined) complain(problem);
}

/** So many are named; the rest is counted, so that a broken import does not write a novel. */
const faultsNamedMax = 100;

function invalid(faults: readonly string[]): OutriderError {
  const count = faults.length === 1 ? "1 fault" : `${faults.length} faults`;
  const more = faults.length > faultsNamedMax ? `; and ${faults.length - faultsNamedMax} more` : "";
  return new OutriderError(
    "EVENT_INVALID",
    `${count}, nothing was written: ${faults.slice(0, faultsNamedMax).join("; ")}${more}`,
  );
}
