/**
 * Connections to PostgreSQL that cannot hang and cannot go bad quietly.
 *
 * What would go wrong without this file: a half-open TCP connection waits for ever; node-postgres,
 * when its own `query_timeout` fires, hands the still busy connection out again, so that every later
 * query on it times out too. So a connection that failed in any way but a plain SQL error is thrown
 * away, never reused.
 *
 * A pooler in transaction mode refuses session time-outs in the start-up message. The first refusal
 * switches them off for this pool; the client-side time-out still bounds every statement.
 */
import { createHash } from "node:crypto";
import pg from "pg";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import { isTlsTrouble } from "../foundation/tls-trouble.ts";
import type { DatabaseConfig } from "./database-config.ts";

function tlsOf(config: DatabaseConfig): pg.ClientConfig["ssl"] {
  if (config.sslmode === "disable") return false;
  const files = {
    ...(config.ca === undefined ? undefined : { ca: config.ca }),
    ...(config.cert === undefined ? undefined : { cert: config.cert }),
    ...(config.key === undefined ? undefined : { key: config.key }),
  };
  // What libpq means by them. `require`: encrypted, to whoever answers; but whoever gives an authority
  // wants it asked, so then it is `verify-ca`: the right authority, any name. `verify-full`: the name, too.
  if (config.sslmode === "require" && config.ca === undefined) return { ...files, rejectUnauthorized: false };
  if (config.sslmode !== "verify-full")
    return { ...files, rejectUnauthorized: true, checkServerIdentity: () => undefined };
  return { ...files, rejectUnauthorized: true };
}

function clientConfigOf(
  config: DatabaseConfig,
  applicationName: string,
  hasSessionTimeouts: boolean,
): pg.ClientConfig {
  return {
    connectionString: config.url,
    ssl: tlsOf(config),
    application_name: applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: config.connectTimeoutMs,
    // Two seconds more than the server's own limit, so that normally the server answers first.
    query_timeout: config.statementTimeoutMs + 2_000,
    ...(hasSessionTimeouts
      ? {
          statement_timeout: config.statementTimeoutMs,
          lock_timeout: config.statementTimeoutMs,
          idle_in_transaction_session_timeout: config.statementTimeoutMs,
        }
      : undefined),
  };
}

/** SQLSTATEs that a person has to repair: wrong password, no such role, no such database. */
const refusals = new Set(["28000", "28P01", "3D000"]);

/** Turns what the driver threw into the two answers that matter: come back later, or a person is needed. */
export function connectionError(thrown: unknown): OutriderError {
  const code = sqlstateOf(thrown);
  if (code !== undefined && refusals.has(code)) {
    return new OutriderError("OUTBOX_REFUSED", `PostgreSQL refuses the connection: ${messageOf(thrown)}`, {
      repair: "check user, password and database name in DATABASE_URL, and whether the server demands TLS",
      cause: thrown,
    });
  }
  if (isTlsTrouble(codeOf(thrown)) || isWithoutTls(thrown)) {
    return new OutriderError("OUTBOX_REFUSED", `No TLS with PostgreSQL: ${messageOf(thrown)}`, {
      repair:
        "check OUTRIDER_DATABASE_CA_FILE, the host name in DATABASE_URL, the server's certificate and OUTRIDER_DATABASE_SSLMODE",
      cause: thrown,
    });
  }
  return new OutriderError("OUTBOX_UNAVAILABLE", `PostgreSQL is not available: ${messageOf(thrown)}`, {
    retriable: true,
    repair: "check that PostgreSQL runs at the address in DATABASE_URL",
    cause: thrown,
  });
}

/** PostgreSQL's own code for what went wrong, also when it comes wrapped. */
export function sqlstateOf(thrown: unknown): string | undefined {
  const own = thrown instanceof OutriderError ? thrown.cause : thrown;
  return own instanceof pg.DatabaseError ? own.code : undefined;
}

function codeOf(thrown: unknown): unknown {
  return thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
}

/** The driver's words for a server that answered a wish for TLS with no; there is no code for it. */
function isWithoutTls(thrown: unknown): boolean {
  return messageOf(thrown) === "The server does not support SSL connections";
}

/** What a pooler says that does not know a start-up parameter. */
function isUnknownParameter(thrown: unknown): boolean {
  return /unsupported startup parameter/i.test(messageOf(thrown));
}

/** Connections whose other side refused a start-up parameter, as poolers in transaction mode do. */
const pooled = new WeakSet<pg.Client>();

/**
 * One connection, with session time-outs where the other side allows them.
 * @throws OutriderError OUTBOX_UNAVAILABLE or OUTBOX_REFUSED.
 */
export async function connect(config: DatabaseConfig, applicationName = "outrider"): Promise<pg.Client> {
  try {
    return await connectWith(config, applicationName, true);
  } catch (error) {
    if (!isUnknownParameter(error)) throw connectionError(error);
  }
  try {
    const client = await connectWith(config, applicationName, false);
    pooled.add(client);
    return client;
  } catch (error) {
    throw connectionError(error);
  }
}

async function connectWith(
  config: DatabaseConfig,
  applicationName: string,
  hasSessionTimeouts: boolean,
): Promise<pg.Client> {
  const client = new pg.Client(clientConfigOf(config, applicationName, hasSessionTimeouts));
  // Without a listener an idle connection that breaks would end the process.
  client.on("error", () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    // The socket of an attempt that timed out is still open.
    client.end().catch(() => undefined);
    throw error;
  }
}

/** SQLSTATE classes after which the connection itself is as good as before. */
function isPlainSqlError(thrown: unknown): boolean {
  const code = sqlstateOf(thrown);
  if (code === undefined) return false;
  const brokenClasses = ["08", "57", "58", "XX"];
  return !brokenClasses.includes(code.slice(0, 2)) || code === "57014";
}

const bytea = 17;
const asItIs = (text: string): string => text;

/** The driver would otherwise parse JSON that nobody looks into. */
const asTexts: pg.CustomTypesConfig = {
  getTypeParser: (type: number, format?: "text" | "binary") =>
    type === bytea ? pg.types.getTypeParser(bytea, format) : asItIs,
};

/** How the driver is to send a statement, and read its answer. */
type How = Pick<pg.QueryArrayConfig, "name" | "types">;

/** The same for the same text, whoever asks: behind a pooler it may be another relay's that is found. */
function nameOf(text: string): string {
  return `outrider_${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
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
  #client: Promise<pg.Client> | undefined;
  #isClosed = false;
  /** Whether the other side finds a statement again that it was given before. */
  #canKeep = true;
  /** Settles when the statement before is done, one way or the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(config: DatabaseConfig, applicationName: string) {
    this.#config = config;
    this.#applicationName = applicationName;
  }

  /**
   * Runs one statement in a transaction of its own.
   * @throws OutriderError OUTBOX_UNAVAILABLE (retriable), OUTBOX_REFUSED, or OUTBOX_FAILED for a plain SQL error.
   */
  async query<R extends unknown[]>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    return (await this.#run<R>(text, values)).rows;
  }

  /**
   * Like `query`, for a statement that is asked many times a second and whose plan does not depend on how
   * full a table is: PostgreSQL keeps what it has parsed and planned. A pooler that hands each statement to
   * another backend may not find it there; then it is sent whole, from then on.
   */
  async queryKept<R extends unknown[]>(text: string, values: readonly unknown[]): Promise<R[]> {
    if (this.#canKeep) {
      try {
        return (await this.#run<R>(text, values, { name: nameOf(text) })).rows;
      } catch (error) {
        if (!isNotKept(error)) throw error;
        this.#canKeep = false;
      }
    }
    return this.query<R>(text, values);
  }

  /** Like `query`, with every column as the text that PostgreSQL sent, save bytea, which becomes bytes. */
  async queryTexts<R extends unknown[]>(text: string, values: readonly unknown[]): Promise<R[]> {
    return (await this.#run<R>(text, values, { types: asTexts })).rows;
  }

  /** Like `query`, for a statement whose answer is the number of rows it touched. */
  async execute(text: string, values: readonly unknown[]): Promise<number> {
    return (await this.#run(text, values)).rowCount ?? 0;
  }

  /**
   * Whether the other side seems to be a pooler in transaction mode.
   * @throws OutriderError OUTBOX_UNAVAILABLE or OUTBOX_REFUSED.
   */
  async isPooled(): Promise<boolean> {
    return pooled.has(await this.#open());
  }

  #run<R extends unknown[]>(
    text: string,
    values: readonly unknown[],
    how: How = {},
  ): Promise<pg.QueryArrayResult<R>> {
    const running = this.#turn.then(() => this.#runNow<R>(text, values, how));
    this.#turn = running.catch(() => undefined);
    return running;
  }

  async #runNow<R extends unknown[]>(
    text: string,
    values: readonly unknown[],
    how: How,
  ): Promise<pg.QueryArrayResult<R>> {
    const client = await this.#open();
    try {
      return await client.query<R>({ text, values: [...values], rowMode: "array" as const, ...how });
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
  #open(): Promise<pg.Client> {
    if (this.#isClosed) return Promise.reject(connectionError(new Error("this session is closed")));
    this.#client ??= this.#connect();
    return this.#client;
  }

  #connect(): Promise<pg.Client> {
    const opening = connect(this.#config, this.#applicationName);
    const forget = () => {
      if (this.#client === opening) this.#client = undefined;
    };
    opening.then((client) => client.on("error", forget).on("end", forget), forget);
    return opening;
  }

  #discard(client: pg.Client): void {
    this.#client = undefined;
    // Destroyed, not ended: a polite goodbye on a black-holed connection would wait for its answer.
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const client = this.#client;
    this.#client = undefined;
    // Whether the goodbye was heard does not matter any more.
    await client?.then((open) => open.end()).catch(() => undefined);
  }
}
