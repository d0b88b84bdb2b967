/**
 * The INSERT of `enqueue`. Every parameter is cast from text (`transaction.ts` says why): `::json`
 * also fits a jsonb column, by assignment. Columns that no event of the statement uses are left out,
 * so that a table with only the four columns of the pattern can be written, and so can one where the
 * role may insert only those.
 *
 * `created_at` and `seq` are left to their defaults, which PostgreSQL evaluates row by row in the
 * order of VALUES: the events stand in the table's order as they stood in the caller's.
 */
import { tableIn } from "../foundation/sql-text.ts";
import type { PayloadType } from "./payload.ts";
import type { EventRow } from "./row.ts";

export interface InsertStatement {
  readonly sql: string;
  readonly texts: readonly (string | null)[];
}

/** An event has at most seven parameters; PostgreSQL takes 65,535 a statement, Prisma 32,767. */
export const statementEventsMax = 1_000;
/** PostgreSQL takes a message of 1 GB at most; long before that, memory is the concern. */
const statementLengthMax = 16 * 1024 * 1024;

const alwaysWritten = ["event_id", "aggregate_id", "event_payload"] as const;
const writtenWhenUsed = ["event_type", "aggregate_type", "topic", "headers"] as const;
type Column = keyof EventRow;

/** One statement for all rows, or several in order when there are very many or very large ones. */
export function* insertStatements(
  rows: readonly EventRow[],
  type: PayloadType,
  schema: string | undefined,
): Generator<InsertStatement> {
  const table = tableIn(schema, "undispatched_events");
  let chunk: EventRow[] = [];
  let length = 0;
  for (const row of rows) {
    if (
      chunk.length === statementEventsMax ||
      (chunk.length > 0 && length + sizeOf(row) > statementLengthMax)
    ) {
      yield insertStatement(chunk, type, table);
      chunk = [];
      length = 0;
    }
    chunk.push(row);
    length += sizeOf(row);
  }
  if (chunk.length > 0) yield insertStatement(chunk, type, table);
}

function sizeOf(row: EventRow): number {
  return row.event_payload.length + (row.headers?.length ?? 0);
}

function insertStatement(rows: readonly EventRow[], type: PayloadType, table: string): InsertStatement {
  const used = writtenWhenUsed.filter((column) => rows.some((row) => row[column] !== null));
  const columns: readonly Column[] = [...alwaysWritten, ...used];
  const texts: (string | null)[] = [];
  const tuples = rows.map((row) => {
    const places = columns.map((column) => {
      texts.push(row[column]);
      return valueFor(column, `$${texts.length}::text`, type);
    });
    return `(${places.join(", ")})`;
  });
  return { sql: `insert into ${table} (${columns.join(", ")}) values ${tuples.join(", ")}`, texts };
}

function valueFor(column: Column, text: string, type: PayloadType): string {
  switch (column) {
    case "event_id":
      return `${text}::uuid`;
    case "event_payload":
      return type === "bytea" ? `decode(${text}, 'base64')` : `${text}::json`;
    case "headers":
      return `${text}::json`;
    default:
      return text;
  }
}
