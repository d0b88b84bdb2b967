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
  session: SessionSettings | undefined,
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
    ...(session === undefined
      ? undefined
      : {
          statement_timeout: config.statementTimeoutMs,
          lock_timeout: config.statementTimeoutMs,
          idle_in_transaction_session_timeout: config.statementTimeoutMs,
          ...(session.isPinned ? { options: pinning } : undefined),
        }),
  };
}

/** What is asked for in the start-up message. */
interface SessionSettings {
  readonly isPinned: boolean;
}

/**
 * Leaves the planner one way to read a table: by the index that the statement names the columns of. A plan made on
 * an empty table is then still the plan for ten million rows, and can be kept. Without `jit=off` a statement that
 * can only be answered by reading a whole table would be compiled first, so dear does it look.
 *
 * And of several statements in one message each has a snapshot of its own, whatever the database's default is.
 */
const pinning =
  "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off -c default_transaction_isolation=read\\ committed";

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

/** What a pooler or a proxy says to a start-up message with something in it that it will not pass on. */
function isAboutParameters(thrown: unknown): boolean {
  return sqlstateOf(thrown) === "0A000" || /startup parameter|command-line option/i.test(messageOf(thrown));
}

/** Connections whose other side refused a start-up parameter, as poolers in transaction mode do. */
const pooled = new WeakSet<pg.Client>();

/** Whether the other side seems to be a pooler in transaction mode. */
export function isPooled(client: pg.Client): boolean {
  return pooled.has(client);
}

/**
 * One connection, with session time-outs where the other side allows them.
 * @throws OutriderError OUTBOX_UNAVAILABLE or OUTBOX_REFUSED.
 */
export function connect(config: DatabaseConfig, applicationName = "outrider"): Promise<pg.Client> {
  return open(config, applicationName, { isPinned: false });
}

/**
 * The same, with the planner bound to indexes where the other side allows it; `isPinned` says whether it did.
 * @throws OutriderError OUTBOX_UNAVAILABLE or OUTBOX_REFUSED.
 */
export async function connectPinned(
  config: DatabaseConfig,
  applicationName: string,
): Promise<{ readonly client: pg.Client; readonly isPinned: boolean }> {
  const client = await open(config, applicationName, { isPinned: true });
  if (isPooled(client)) return { client, isPinned: false };
  try {
    // A pooler may have swallowed it, and options in DATABASE_URL stand in the place of these.
    const { rows } = await client.query<{ settings: string }>(
      `select concat_ws(', ', current_setting('enable_seqscan'), current_setting('enable_bitmapscan'),
                        current_setting('default_transaction_isolation')) as settings`,
    );
    return { client, isPinned: rows[0]?.settings === "off, off, read committed" };
  } catch (error) {
    client.end().catch(() => undefined);
    throw connectionError(error);
  }
}

/** What the other side will not hear of is left out, what is needed least first. */
async function open(
  config: DatabaseConfig,
  applicationName: string,
  session: SessionSettings,
): Promise<pg.Client> {
  const ladder = session.isPinned ? [session, { isPinned: false }] : [session];
  for (const asked of ladder) {
    try {
      return await connectWith(config, applicationName, asked);
    } catch (error) {
      if (!isAboutParameters(error)) throw connectionError(error);
    }
  }
  try {
    const client = await connectWith(config, applicationName, undefined);
    pooled.add(client);
    return client;
  } catch (error) {
    throw connectionError(error);
  }
}

async function connectWith(
  config: DatabaseConfig,
  applicationName: string,
  session: SessionSettings | undefined,
): Promise<pg.Client> {
  const client = new pg.Client(clientConfigOf(config, applicationName, session));
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
