/**
 * The facts about PostgreSQL, over one connection. Catalogs and statistics are asked for in statements that
 * need no right; the rows are asked for last, and only by a role that may read them.
 */
import type { Client } from "pg";
import { microsOfIso } from "../event/position.ts";
import type { Clock } from "../foundation/clock.ts";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import type { DatabaseConfig } from "../outbox/database-config.ts";
import { type MigrationPart, partOf } from "../outbox/migration-plan.ts";
import type { Outbox } from "../outbox/outbox.ts";
import { connect, connectionError, sqlstateOf } from "../outbox/postgres-connection.ts";
import { quoteIdentifier } from "../outbox/statements.ts";
import type {
  DatabaseCheckup,
  DatabaseFacts,
  Holder,
  RoleFacts,
  RowFacts,
  ServerFacts,
  TableFacts,
} from "./database-facts.ts";
import {
  destinationsStatement,
  holdersStatement,
  rightsStatement,
  serverStatement,
  stampsStatement,
  standingStatement,
  tableStatement,
} from "./fact-statements.ts";

type ServerRow = Omit<ServerFacts, "clockAheadMs" | "clockUncertaintyMs" | "isPooled"> & {
  readonly pid: number;
  readonly clock: string;
};

/** No such table, schema, column or function, no right to it, or not what was expected. */
const absentStates = ["42P01", "3F000", "42703", "42501"];

export class PostgresFacts implements DatabaseCheckup {
  readonly #config: DatabaseConfig;
  readonly #outbox: Outbox;
  readonly #known: readonly string[];
  readonly #clock: Clock;

  /** `outbox` is asked for the faults that keep a relay from starting, and for who is writing now. */
  constructor(config: DatabaseConfig, outbox: Outbox, knownMigrations: readonly string[], clock: Clock) {
    this.#config = config;
    this.#outbox = outbox;
    this.#known = knownMigrations;
    this.#clock = clock;
  }

  async read(role: string | null): Promise<DatabaseFacts> {
    const client = await connect(this.#config, "outrider doctor");
    try {
      return await this.#readAll(client, role);
    } finally {
      // What it is told after that does not matter any more.
      await client.end().catch(() => undefined);
    }
  }

  async #readAll(client: Client, role: string | null): Promise<DatabaseFacts> {
    const { schema } = this.#config;
    const server = await this.#server(client);
    const rights = await one<RoleFacts | null>(client, rightsStatement, [schema, role]);
    if (rights === null) {
      throw new OutriderError("OUTBOX_REFUSED", `there is no role ${JSON.stringify(role)}`, {
        repair: `create role ${quoteIdentifier(role ?? "")} login`,
      });
    }
    const table = await one<TableFacts | null>(client, tableStatement, [schema]);
    const faults = await this.#outbox.inspect();
    // Without a right to the schema there is nothing to look at; that it is missing is found beside.
    const look = table === null ? undefined : await ifThere(() => this.#outbox.look());
    const writers = look?.writers ?? [];
    const pids = writers.flatMap(({ pid }) => (pid === null ? [] : [pid]));
    return {
      server,
      role: rights,
      table,
      faults,
      pendingMigrations: await this.#pending(client),
      holders: (await one<readonly Holder[] | null>(client, holdersStatement, [pids])) ?? [],
      rows: await this.#rows(client),
      outboxId: await this.#outboxId(client),
    };
  }

  async #server(client: Client): Promise<ServerFacts> {
    const before = this.#clock.wallMs();
    const { pid, clock, ...row } = await one<ServerRow>(client, serverStatement, []);
    const after = this.#clock.wallMs();
    // A pooler hands out process ids of its own making.
    const { processID } = client as Client & { readonly processID?: number };
    return {
      ...row,
      clockAheadMs: Math.round(microsOfIso(clock) / 1_000 - (before + after) / 2),
      clockUncertaintyMs: Math.ceil((after - before) / 2),
      isPooled: processID !== undefined && processID !== pid,
    };
  }

  async #pending(client: Client): Promise<readonly string[] | null> {
    const applied = await ifThere(() =>
      one<readonly string[] | null>(
        client,
        `select json_agg(name)::text from ${quoteIdentifier(this.#config.schema)}.outrider_migrations`,
        [],
      ),
    );
    if (applied === undefined) return null;
    // What nobody has asked for is not missing.
    const parts = new Set<MigrationPart>(["outbox", ...(applied ?? []).map(partOf)]);
    return this.#known.filter(
      (name) => partOf(name) !== "inbox" && parts.has(partOf(name)) && applied?.includes(name) !== true,
    );
  }

  async #outboxId(client: Client): Promise<string | null> {
    const text = `select json_build_object('id', outbox_id)::text from ${quoteIdentifier(this.#config.schema)}.outrider_identity`;
    return (await ifThere(() => one<{ id: string } | null>(client, text, [])))?.id ?? null;
  }

  /** Without select rights the other findings say what is to be granted. */
  async #rows(client: Client): Promise<RowFacts | null> {
    const schema = quoteIdentifier(this.#config.schema);
    const found = await ifThere(async () => ({
      destinations: await one<RowFacts["destinations"] | null>(client, destinationsStatement(schema), []),
      sample: await one<{ clock: string; stamps: { createdAt: string; seq: string }[] | null }>(
        client,
        stampsStatement(schema),
        [],
      ),
      standing: await one<{ blocked: number; deadLetters: number }>(client, standingStatement(schema), []),
    }));
    if (found === undefined) return null;
    return {
      destinations: found.destinations ?? [],
      clock: microsOfIso(found.sample.clock),
      stamps: (found.sample.stamps ?? []).map(({ createdAt, seq }) => ({
        createdAt: microsOfIso(createdAt),
        seq: BigInt(seq),
      })),
      ...found.standing,
    };
  }
}

/** The one JSON value of a statement; null where it has no row. */
async function one<T>(client: Client, text: string, values: readonly unknown[]): Promise<T> {
  try {
    const { rows } = await client.query<[string | null]>({ text, values: [...values], rowMode: "array" });
    return JSON.parse(rows[0]?.[0] ?? "null") as T;
  } catch (error) {
    if (sqlstateOf(error) === undefined || ["08", "57", "58"].includes(sqlstateOf(error)?.slice(0, 2) ?? ""))
      throw connectionError(error);
    throw new OutriderError("OUTBOX_FAILED", `PostgreSQL refused a question: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Undefined where there is no such thing, or no right to read it: then there is nothing to judge. */
async function ifThere<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (absentStates.includes(sqlstateOf(error) ?? "")) return undefined;
    throw error;
  }
}
