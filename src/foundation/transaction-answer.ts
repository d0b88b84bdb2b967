/**
 * What a statement answers, whichever library ran it. The nine libraries hand rows back in two
 * shapes: a list of rows (Prisma, TypeORM, MikroORM, postgres.js) or an object that has them in
 * `rows` (pg, Kysely, Knex); Drizzle passes on what its driver gives, and Sequelize puts the list into
 * another one. Settings of a library may rename columns (camelCase), so the single column is taken
 * whatever it is called, and it is text, which no library parses.
 *
 * Nothing is guessed. "No row" and "an answer that was not understood" must never be confused: an
 * inbox would take the one for the other, and skip an event that nobody has processed.
 */
import { OutriderError } from "./errors.ts";

type Texts = readonly (string | null)[];
type Run = (sql: string, texts: Texts) => Promise<unknown>;

/** A `Transaction` that can also be asked. Every adapter of `transaction.ts` makes one. */
export interface AnsweringTransaction {
  execute(sql: string, texts: Texts): Promise<unknown>;
  /** Runs a statement whose rows have one column of type text, and gives that column. */
  ask(sql: string, texts: Texts): Promise<readonly string[]>;
}

/** `query` where the method that executes does not hand rows back. */
export function answering(execute: Run, query: Run = execute): AnsweringTransaction {
  return { execute, ask: async (sql, texts) => rowsOf(await query(sql, texts)).map(textOf) };
}

function rowsOf(answer: unknown): readonly unknown[] {
  if (Array.isArray(answer)) return Array.from(answer);
  if (typeof answer === "object" && answer !== null && "rows" in answer && Array.isArray(answer.rows)) {
    return Array.from(answer.rows);
  }
  throw strange("the answer holds no list of rows");
}

function textOf(row: unknown): string {
  if (typeof row !== "object" || row === null || Array.isArray(row)) throw strange("a row is no object");
  const values = Object.values(row);
  const [text] = values;
  if (values.length !== 1 || typeof text !== "string") throw strange("a row has not just one text in it");
  return text;
}

function strange(problem: string): OutriderError {
  return new OutriderError(
    "TRANSACTION_INVALID",
    `what the database library answered cannot be read: ${problem}`,
    { repair: "roll back; take a result transformer off this connection, or give the inbox a plain one" },
  );
}
