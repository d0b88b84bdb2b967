/** The outbox port on PostgreSQL: a session each for claims, removals and the count, so that none waits for another. */
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from "kysely";
import type { Ack } from "../event/delivery.ts";
import type { OutboxEvent } from "../event/event.ts";
import { isoOfMicros, type Micros, type Position } from "../event/position.ts";
import { OutriderError } from "../foundation/errors.ts";
import type { DatabaseConfig } from "./database-config.ts";
import { type ClaimRow, type EventRow, toClaim, toEvent } from "./event-rows.ts";
import { factsStatement, judge, type TableFacts } from "./inspection.ts";
import type {
  Backlog,
  Claim,
  ClaimLimits,
  ClaimRequest,
  Fault,
  Look,
  LookAndClaim,
  Outbox,
  SearchRequest,
  SearchStop,
  WriterDescription,
} from "./outbox.ts";
import { sqlstateOf } from "./postgres-connection.ts";
import { type How, PostgresSession, type Together } from "./postgres-session.ts";
import {
  announcement,
  anySlot,
  backlogStatement,
  claimAroundBlockedStatement,
  claimInStepStatement,
  claimStatement,
  headStatement,
  isKeptRemoval,
  logPositionStatement,
  lookStatement,
  markStatement,
  type PayloadType,
  plainArray,
  quoteIdentifier,
  removeByKeyStatement,
  removeStatement,
  searchStatement,
  vigilStatement,
} from "./statements.ts";

/** The tables as Kysely types them; only the columns that its statements name. */
interface Schema {
  outrider_migrations: { name: string };
}

/** As texts. `slots`: numbers between commas, none in an empty text; null where nobody announces. */
type LookRow = [
  clock: string,
  id: string | null,
  pid: string | null,
  slots: string | null,
  startedAt: string | null,
  isTwoPhase: "t" | "f",
  mark: string | null,
];

/** Null for whoever may write anywhere. */
function slotsOf(list: string | null): number[] | null {
  if (list === null) return null;
  const slots = list === "" ? [] : list.split(",").map(Number);
  return slots.includes(announcement.everywhere) ? null : slots;
}

function toLook(rows: readonly LookRow[]): Look {
  return {
    clock: Number(rows[0]?.[0]),
    writers: rows.flatMap(([, id, pid, slots, startedAt]) => {
      if (id === null) return [];
      const start = pid === null || startedAt === null ? null : Number(startedAt);
      return [
        {
          id,
          pid: pid === null ? null : Number(pid),
          startedAt: start,
          slots: slotsOf(slots),
        },
      ];
    }),
    isTwoPhase: rows[0]?.[5] !== "f",
    mark: rows[0]?.[6] ?? null,
  };
}

function claimValues({ ranges, limits }: ClaimRequest): (string | number)[] {
  return [
    plainArray(ranges.map(({ shard }) => shard)),
    plainArray(ranges.map(({ createdAt }) => createdAt)),
    plainArray(ranges.map(({ seq }) => seq)),
    plainArray(ranges.map(({ fence }) => fenceText(fence))),
    limits.eventsPerShardMax,
    limits.eventsMax,
    limits.bytesMax,
    limits.payloadBytesMax,
    plainArray(ranges.map(({ slot = anySlot }) => slot)),
  ];
}

const fenceText = (fence: Micros): string =>
  fence === Number.POSITIVE_INFINITY ? "infinity" : isoOfMicros(fence);

/** Whether one range says it all: see `claimInStepStatement`. */
function isInStep({ ranges, limits }: ClaimRequest): boolean {
  const [first] = ranges;
  if (first === undefined || limits.eventsPerShardMax < limits.eventsMax) return false;
  return ranges.every(
    ({ shard, slot, createdAt, seq, fence }, place) =>
      slot === undefined &&
      createdAt === first.createdAt &&
      seq === first.seq &&
      fence === first.fence &&
      shard > (ranges[place - 1]?.shard ?? -1),
  );
}

/** The cheapest statement that answers a request with nothing blocked. */
function claimFor(table: string, type: PayloadType, request: ClaimRequest): Together {
  const { ranges, limits } = request;
  const [first] = ranges;
  if (first === undefined || !isInStep(request))
    return { text: claimStatement(table, type), values: claimValues(request) };
  const shards = plainArray(ranges.map(({ shard }) => shard));
  const { eventsMax, bytesMax, payloadBytesMax } = limits;
  return {
    text: claimInStepStatement(table, type),
    values: [
      shards,
      first.createdAt,
      first.seq,
      fenceText(first.fence),
      eventsMax,
      bytesMax,
      payloadBytesMax,
    ],
  };
}

const kept: How = { keep: "always", isTexts: true };
const keptWherePinned: How = { keep: "pinned", isTexts: true };

/** Rows of one shard that a claim looks at while something is blocked: 20 ms of reading. */
const rowsLookedAtMax = 10_000;

/** Builds statements only; they run on the sessions below, which know about time-outs. */
function statementBuilder(schema: string) {
  return new Kysely<Schema>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  }).withSchema(schema);
}

export class PostgresOutbox implements Outbox {
  readonly #schema: string;
  readonly #table: string;
  /** The session of the claims; closed with the outbox. */
  readonly reader: PostgresSession;
  readonly #remover: PostgresSession;
  /** Of the count alone: where vacuum is held back it reads every dead row, and nobody may wait for that. */
  readonly #counter: PostgresSession;
  readonly #build: Kysely<Schema>;
  readonly #knownMigrations: readonly string[];
  readonly #statementTimeoutMs: number;
  #payloadType: PayloadType | undefined;
  #sequence: string | null = null;
  #vigil: string | undefined;

  constructor(config: DatabaseConfig, knownMigrations: readonly string[]) {
    this.#schema = config.schema;
    this.#table = `${quoteIdentifier(config.schema)}.undispatched_events`;
    this.reader = new PostgresSession(config, "outrider relay", { isPinned: true });
    this.#remover = new PostgresSession(config, "outrider relay (removals)", { isPinned: true });
    // Not bound to indexes: it may read the table as it lies.
    this.#counter = new PostgresSession(config, "outrider relay (statistics)");
    this.#build = statementBuilder(config.schema);
    this.#knownMigrations = knownMigrations;
    this.#statementTimeoutMs = config.statementTimeoutMs;
  }

  async inspect(): Promise<readonly Fault[]> {
    const facts = await this.#readFacts();
    this.#payloadType = facts.payloadType as PayloadType;
    this.#sequence = facts.sequence;
    this.#vigil = undefined;
    return judge(
      { ...facts, migrations: await this.#appliedMigrations() },
      this.#table,
      this.#knownMigrations,
    );
  }

  async #readFacts(): Promise<Omit<TableFacts, "migrations">> {
    const [row] = await this.reader.query<[string]>(factsStatement, [this.#schema]);
    return JSON.parse(row?.[0] ?? "{}") as Omit<TableFacts, "migrations">;
  }

  async #appliedMigrations(): Promise<string[] | null> {
    const { sql: text } = this.#build.selectFrom("outrider_migrations").select("name").compile();
    try {
      return (await this.reader.query<[string]>(text)).map(([name]) => name);
    } catch (error) {
      // No such table, no such schema, or no right to read it: then there is nothing to compare.
      if (["42P01", "3F000", "42501"].includes(sqlstateOf(error) ?? "")) return null;
      throw error;
    }
  }

  async peek(): Promise<string | null> {
    if (this.#sequence === null) return null;
    const [row] = await this.reader.query<[string]>(markStatement(this.#sequence), [], kept);
    return row?.[0] ?? null;
  }

  async awaitChange(mark: string, everyMs: number, forMs: number): Promise<string | null> {
    // Behind a pooler it would keep a backend from everybody else.
    if (this.#sequence === null || (await this.#remover.isPooled())) return null;
    // One that waits for as long as a statement may take would be ended as one that hangs.
    const waitMs = Math.min(forMs, this.#statementTimeoutMs / 2);
    if (everyMs > waitMs) return null;
    const steps = Math.round(waitMs / everyMs);
    this.#vigil ??= vigilStatement(this.#sequence, await this.#isLogTold());
    const values = [mark, everyMs / 1_000, steps];
    const [row] = await this.#remover.query<[string]>(this.#vigil, values, kept);
    return row?.[0] ?? mark;
  }

  async #isLogTold(): Promise<boolean> {
    try {
      await this.#remover.query(logPositionStatement);
      return true;
    } catch (error) {
      if (error instanceof OutriderError && error.code === "OUTBOX_FAILED") return false;
      throw error;
    }
  }

  async look(): Promise<Look> {
    const { text, values } = lookStatement(this.#table, this.#sequence, null);
    return toLook(await this.reader.query<LookRow>(text, values, kept));
  }

  async describeWriters(pids: readonly number[]): Promise<readonly WriterDescription[]> {
    const rows = await this.reader.query<[number, string | null]>(
      "select pid, application_name from pg_catalog.pg_stat_activity where pid = any ($1::int[])",
      [pids],
    );
    return rows.map(([pid, application]) => ({ pid, application: application ?? "" }));
  }

  async claim(request: ClaimRequest): Promise<Claim> {
    const { ranges, limits, blocked } = request;
    if (ranges.length === 0) return { events: [], isCut: false };
    const type = await this.#typeOfPayload();
    if (blocked.length === 0) {
      const { text, values } = claimFor(this.#table, type, request);
      return toClaim(await this.reader.query<ClaimRow>(text, values, keptWherePinned), limits);
    }
    const lookedAtMax = Math.max(rowsLookedAtMax, limits.eventsPerShardMax);
    const values = [...claimValues(request), blocked, lookedAtMax];
    const text = claimAroundBlockedStatement(this.#table, type);
    return toClaim(await this.reader.query<ClaimRow>(text, values, { isTexts: true }), limits);
  }

  async lookAndClaim(
    request: ClaimRequest,
    since: string | null,
  ): Promise<LookAndClaim | "unchanged" | null> {
    const { ranges, limits, blocked } = request;
    if (ranges.length === 0 || blocked.length > 0) return null;
    const claim = claimFor(this.#table, await this.#typeOfPayload(), request);
    const look = lookStatement(this.#table, this.#sequence, since);
    const answer = await this.reader.queryTogether([look, claim]);
    if (answer === null) return null;
    const [looked, claimed] = answer as [LookRow[], ClaimRow[]];
    if (since !== null && looked[0]?.[6] === since) return "unchanged";
    return { look: toLook(looked), claim: toClaim(claimed, limits) };
  }

  async claimHead(
    shard: number,
    aggregateId: string,
    from: Position,
    limits: ClaimLimits,
  ): Promise<OutboxEvent | undefined> {
    const text = headStatement(this.#table, await this.#typeOfPayload());
    const values = [shard, aggregateId, from.createdAt, from.seq, limits.payloadBytesMax];
    const [row] = await this.reader.query<EventRow>(text, values, { isTexts: true });
    return row === undefined ? undefined : toEvent(row);
  }

  /** On the session of the removals: a claim must not wait for it, and a removal can for a moment. */
  async search({ ranges, rowsMax, blocked }: SearchRequest): Promise<readonly SearchStop[]> {
    const rows = await this.#remover.query<[number, string, string, boolean]>(searchStatement(this.#table), [
      ranges.map(({ shard }) => shard),
      ranges.map(({ from }) => from.createdAt),
      ranges.map(({ from }) => from.seq),
      ranges.map(({ until }) => until.createdAt),
      ranges.map(({ until }) => until.seq),
      rowsMax,
      blocked,
    ]);
    return rows.map(([shard, createdAt, seq, isFound]) => ({ shard, createdAt, seq, isFound }));
  }

  async remove(acks: readonly Ack[]): Promise<number> {
    const ids = plainArray(acks.map(({ eventId }) => eventId));
    const places = plainArray(acks.map(({ rowHint }) => rowHint));
    const how = isKeptRemoval(acks.length) ? keptWherePinned : {};
    const removed = await this.#remover.execute(removeStatement(this.#table), [places, ids], how);
    if (removed >= acks.length) return removed;
    return removed + (await this.#remover.execute(removeByKeyStatement(this.#table), [ids]));
  }

  async backlog(countMax: number): Promise<Backlog> {
    const [row] = await this.#counter.query<[string, string | null]>(backlogStatement(this.#table), [
      countMax,
    ]);
    const age = row?.[1] ?? null;
    return { events: Number(row?.[0] ?? 0), oldestAgeMs: age === null ? null : Number(age) };
  }

  async close(): Promise<void> {
    await Promise.all([this.reader.close(), this.#remover.close(), this.#counter.close()]);
  }

  async #typeOfPayload(): Promise<PayloadType> {
    this.#payloadType ??= (await this.#readFacts()).payloadType as PayloadType | undefined;
    if (this.#payloadType === undefined || this.#payloadType === null) {
      throw new OutriderError("OUTBOX_UNFIT", `there is no table ${this.#table}`, {
        repair: "outrider migrate",
      });
    }
    return this.#payloadType;
  }
}
