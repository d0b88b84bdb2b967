/**
 * One connection of the relay's, one statement at a time. It cannot hang and cannot go bad quietly: see
 * `postgres-connection.ts`.
 */
import { createHash } from "node:crypto";
import pg from "pg";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import type { DatabaseConfig } from "./database-config.ts";
import { byteaType, type KeptAnswer, type KeptStatement, KeptStatements } from "./kept-statements.ts";
import { connect, connectionError, connectPinned, isPooled, sqlstateOf } from "./postgres-connection.ts";

/** SQLSTATE classes after which the connection itself is as good as before. */
function isPlainSqlError(thrown: unknown): boolean {
  const code = sqlstateOf(thrown);
  if (code === undefined) return false;
  const brokenClasses = ["08", "57", "58", "XX"];
  return !brokenClasses.includes(code.slice(0, 2)) || code === "57014";
}

const asItIs = (text: string): string => text;

/** The driver would otherwise parse JSON that nobody looks into. */
const asTexts: pg.CustomTypesConfig = {
  getTypeParser: (type: number, format?: "text" | "binary") =>
    type === byteaType ? pg.types.getTypeParser(byteaType, format) : asItIs,
};

/** How a statement is sent, and its answer read. */
export interface How {
  /**
   * Asked many times a second, so PostgreSQL keeps what it has parsed and planned: `always` where the plan does not
   * depend on how full a table is, `pinned` where the session must have bound the planner to indexes for that.
   */
  readonly keep?: "always" | "pinned";
  /** Every column as the text that PostgreSQL sent, save bytea, which becomes bytes. */
  readonly isTexts?: boolean;
}

interface Opened {
  readonly client: pg.Client;
  readonly isPinned: boolean;
  /** By the text of each statement that this connection has been given to keep: which columns are bytea. */
  readonly kept: Map<string, readonly number[]>;
}

interface Answer<R extends unknown[]> {
  readonly rows: R[];
  readonly rowCount: number | null;
}

/** One of several statements of one message. */
export interface Together {
  readonly text: string;
  readonly values: readonly (string | number)[];
}

const names = new Map<string, string>();

/** The same for the same text, whoever asks: behind a pooler it may be another relay's that is found. */
function nameOf(text: string): string {
  const known = names.get(text);
  if (known !== undefined) return known;
  const name = `outrider_${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
  names.set(text, name);
  return name;
}

const isPlain = (value: unknown): value is string | number =>
  typeof value === "string" || typeof value === "number";

function placesOf(type: number, fields: readonly pg.FieldDef[]): readonly number[] {
  return fields.flatMap(({ dataTypeID }, at) => (dataTypeID === type ? [at] : []));
}

/** No such statement here, another one's of this name is, or its tables have changed since. */
function isNotKept(error: unknown): boolean {
  return ["26000", "42P05", "0A000"].includes(sqlstateOf(error) ?? "");
}

/**
 * A named connection that is opened when needed and thrown away at the first sign of trouble. One
 * statement at a time: callers wait for their turn here, because a statement that waited inside of the
 * driver would have its time-out run meanwhile.
 */
export class PostgresSession {
  readonly #config: DatabaseConfig;
  readonly #applicationName: string;
  readonly #isToBePinned: boolean;
  #opened: Promise<Opened> | undefined;
  #isClosed = false;
  /** Whether the other side finds a statement again that it was given before. */
  #canKeep = true;
  /** Settles when the statement before is done, one way or the other. */
  #turn: Promise<unknown> = Promise.resolve();

  /** `isPinned`: to have the planner bound to indexes; for statements that need nothing else. */
  constructor(config: DatabaseConfig, applicationName: string, { isPinned = false } = {}) {
    this.#config = config;
    this.#applicationName = applicationName;
    this.#isToBePinned = isPinned;
  }

  /**
   * Runs one statement in a transaction of its own.
   * @throws OutriderError OUTBOX_UNAVAILABLE (retriable), OUTBOX_REFUSED, or OUTBOX_FAILED for a plain SQL error.
   */
  async query<R extends unknown[]>(text: string, values: readonly unknown[] = [], how?: How): Promise<R[]> {
    return (await this.#run<R>(text, values, how)).rows;
  }

  /** Like `query`, for a statement whose answer is the number of rows it touched. */
  async execute(text: string, values: readonly unknown[], how?: How): Promise<number> {
    return (await this.#run(text, values, how)).rowCount ?? 0;
  }

  /**
   * Statements that this session keeps, in one message: one round trip, and one transaction in which each has a
   * snapshot of its own. Every column as text, save bytea. Null, and nothing was asked, where it does not keep all
   * of them: then they are to be asked one by one. Throws as `query` does.
   */
  queryTogether(all: readonly Together[]): Promise<readonly (readonly unknown[][])[] | null> {
    const running = this.#turn.then(() => this.#togetherNow(all));
    this.#turn = running.catch(() => undefined);
    return running;
  }

  async #togetherNow(all: readonly Together[]): Promise<readonly (readonly unknown[][])[] | null> {
    const opened = await this.#open();
    if (!opened.isPinned || !this.#canKeep || !all.every(({ text }) => opened.kept.has(text))) return null;
    try {
      return (await this.#askKept(opened, all)).map(({ rows }) => rows);
    } catch (error) {
      if (!isNotKept(error)) throw error;
      this.#canKeep = false;
      return null;
    }
  }

  /**
   * Whether the other side seems to be a pooler in transaction mode.
   * @throws OutriderError OUTBOX_UNAVAILABLE or OUTBOX_REFUSED.
   */
  async isPooled(): Promise<boolean> {
    return isPooled((await this.#open()).client);
  }

  #run<R extends unknown[]>(text: string, values: readonly unknown[], how: How = {}): Promise<Answer<R>> {
    const running = this.#turn.then(() => this.#runNow<R>(text, values, how));
    this.#turn = running.catch(() => undefined);
    return running;
  }

  async #runNow<R extends unknown[]>(
    text: string,
    values: readonly unknown[],
    { keep, isTexts = false }: How,
  ): Promise<Answer<R>> {
    const opened = await this.#open();
    const { client, isPinned, kept } = opened;
    const query: pg.QueryArrayConfig<unknown[]> = {
      text,
      values: [...values],
      rowMode: "array",
      ...(isTexts ? { types: asTexts } : undefined),
    };
    const isKept = this.#canKeep && (keep === "always" || (keep === "pinned" && isPinned));
    if (!isKept) return this.#ask(client.query<R>(query), client);
    try {
      if (isTexts && kept.has(text) && values.every(isPlain)) {
        const [answer] = await this.#askKept(opened, [{ text, values }]);
        return answer as Answer<R>;
      }
      const answer = await this.#ask(client.query<R>({ ...query, name: nameOf(text) }), client);
      kept.set(text, placesOf(byteaType, answer.fields));
      return answer;
    } catch (error) {
      // A pooler that hands each statement to another backend: from now on they are sent whole.
      if (!isNotKept(error)) throw error;
      this.#canKeep = false;
      return this.#ask(client.query<R>(query), client);
    }
  }

  /** Of statements that this connection keeps, all of them. */
  #askKept({ client, kept }: Opened, all: readonly Together[]): Promise<readonly KeptAnswer[]> {
    const statements = all.map(({ text, values }): KeptStatement => {
      return { name: nameOf(text), values, bytesAt: kept.get(text) ?? [] };
    });
    const asked = new Promise<readonly KeptAnswer[]>((resolve, reject) => {
      client.query(
        new KeptStatements(statements, (error, answers = []) => (error ? reject(error) : resolve(answers))),
      );
    });
    return this.#ask(asked, client);
  }

  async #ask<A>(asked: Promise<A>, client: pg.Client): Promise<A> {
    try {
      return await asked;
    } catch (error) {
      if (isPlainSqlError(error)) {
        throw new OutriderError("OUTBOX_FAILED", `PostgreSQL refused a statement: ${messageOf(error)}`, {
          cause: error,
        });
      }
      this.#discard(client);
      throw connectionError(error);
    }
  }

  /** Callers that come while the connection is being opened share it. */
  #open(): Promise<Opened> {
    if (this.#isClosed) return Promise.reject(connectionError(new Error("this session is closed")));
    this.#opened ??= this.#connect();
    return this.#opened;
  }

  #connect(): Promise<Opened> {
    const connecting = this.#isToBePinned
      ? connectPinned(this.#config, this.#applicationName)
      : connect(this.#config, this.#applicationName).then((client) => ({ client, isPinned: false }));
    const opening = connecting.then((opened) => ({ ...opened, kept: new Map<string, readonly number[]>() }));
    const forget = () => {
      if (this.#opened === opening) this.#opened = undefined;
    };
    opening.then(({ client }) => client.on("error", forget).on("end", forget), forget);
    return opening;
  }

  #discard(client: pg.Client): void {
    this.#opened = undefined;
    // Destroyed, not ended: a polite goodbye on a black-holed connection would wait for its answer.
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const opened = this.#opened;
    this.#opened = undefined;
    // Whether the goodbye was heard does not matter any more.
    await opened?.then(({ client }) => client.end()).catch(() => undefined);
  }
}
