/** Blocks and dead letters on PostgreSQL, on a session that somebody else owns and closes. */
import type { Routing } from "../event/message.ts";
import { messageOf, OutriderError } from "../foundation/errors.ts";
import type {
  BlockedAggregate,
  BlockRecord,
  DeadLetter,
  DeadLetterChannel,
  DeadLetterContent,
  DeadLetterFilter,
  MovedLetter,
  Page,
  Refusal,
  RejectionLedger,
} from "./dead-letter-channel.ts";
import {
  blockedStatement,
  deadLetterStatement,
  discardStatement,
  findStatement,
  forgetStatement,
  listStatement,
  loadStatement,
  redriveStatement,
  rememberStatement,
  type Tables,
  tablesOf,
} from "./dead-letter-statements.ts";
import { sqlstateOf } from "./postgres-connection.ts";
import type { PostgresSession } from "./postgres-session.ts";
import type { PayloadType } from "./statements.ts";

type BlockRow = [
  eventId: string,
  aggregateId: string,
  shard: number,
  createdAt: string,
  seq: string,
  reason: BlockRecord["reason"],
  message: string,
  attempts: number,
];
type BlockedRow = [...BlockRow, blockedAt: string, retriedAt: string, waiting: number, rows: number];
type LetterRow = [
  eventId: string,
  aggregateId: string,
  createdAt: string,
  seq: string,
  eventType: string | null,
  aggregateType: string | null,
  topic: string | null,
  reason: BlockRecord["reason"],
  message: string,
  attempts: number,
  deadAt: string,
  payloadBytes: number,
];
type ContentRow = [...LetterRow, headers: string | null, payload: string | Uint8Array];
type MovedRow = [eventId: string, createdAt: string, seq: string, isMoved: boolean];

/** Longest message that is kept; and a NUL, which a broker may say and PostgreSQL cannot store. */
const messageLengthMax = 1_000;
const storable = (message: string): string => message.replaceAll("\0", "").slice(0, messageLengthMax);

export class PostgresDeadLetters implements RejectionLedger, DeadLetterChannel {
  readonly #session: PostgresSession;
  readonly #tables: Tables;
  readonly #routing: Routing;
  #payloadType: PayloadType | undefined;

  /** `routing`: says which topic an event goes to that names none, for filters. */
  constructor(session: PostgresSession, schema: string, routing: Routing) {
    this.#session = session;
    this.#tables = tablesOf(schema);
    this.#routing = routing;
  }

  async load(shards: readonly number[]): Promise<readonly BlockRecord[]> {
    return (await this.#query<BlockRow>(loadStatement(this.#tables), [shards])).map(toBlock);
  }

  async remember(blocks: readonly BlockRecord[]): Promise<void> {
    await this.#query(rememberStatement(this.#tables), [
      blocks.map(({ eventId }) => eventId),
      blocks.map(({ aggregateId }) => aggregateId),
      blocks.map(({ shard }) => shard),
      blocks.map(({ createdAt }) => createdAt),
      blocks.map(({ seq }) => seq),
      blocks.map(({ reason }) => reason),
      blocks.map(({ message }) => storable(message)),
      blocks.map(({ attempts }) => attempts),
    ]);
  }

  async forget(eventIds: readonly string[]): Promise<void> {
    await this.#query(forgetStatement(this.#tables), [eventIds]);
  }

  async deadLetter(refusals: readonly Refusal[]): Promise<readonly string[]> {
    const rows = await this.#query<[string]>(deadLetterStatement(this.#tables), [
      refusals.map(({ eventId }) => eventId),
      refusals.map(({ reason }) => reason),
      refusals.map(({ message }) => storable(message)),
      refusals.map(({ attempts }) => attempts),
    ]);
    return rows.map(([eventId]) => eventId);
  }

  async list(filter: DeadLetterFilter, page: Page): Promise<readonly DeadLetter[]> {
    const text = listStatement(this.#tables, await this.#typeOfPayload());
    return (await this.#query<LetterRow>(text, this.#values(filter, page))).map(toLetter);
  }

  async find(eventId: string): Promise<DeadLetterContent | undefined> {
    const text = findStatement(this.#tables, await this.#typeOfPayload());
    const [row] = await this.#query<ContentRow>(text, [eventId]);
    if (row === undefined) return undefined;
    const [headers, payload] = row.slice(12) as [string | null, string | Uint8Array];
    return { ...toLetter(row.slice(0, 12) as LetterRow), headers, payload };
  }

  redrive(filter: DeadLetterFilter, page: Page, deadUntil: string): Promise<readonly MovedLetter[]> {
    return this.#move(redriveStatement(this.#tables), filter, page, deadUntil);
  }

  discard(filter: DeadLetterFilter, page: Page, deadUntil: string): Promise<readonly MovedLetter[]> {
    return this.#move(discardStatement(this.#tables), filter, page, deadUntil);
  }

  async blocked(aggregatesMax: number, rowsMax: number): Promise<readonly BlockedAggregate[]> {
    const rows = await this.#query<BlockedRow>(blockedStatement(this.#tables), [aggregatesMax, rowsMax]);
    return rows.map((row) => {
      const [blockedAt, retriedAt, waiting, seen] = row.slice(8) as [string, string, number, number];
      return {
        ...toBlock(row.slice(0, 8) as BlockRow),
        blockedAt,
        retriedAt,
        waiting,
        isMore: seen >= rowsMax,
      };
    });
  }

  async now(): Promise<string> {
    const [row] = await this.#query<[string]>("select to_json(clock_timestamp())#>>'{}'", []);
    return row?.[0] ?? "";
  }

  async #move(text: string, filter: DeadLetterFilter, page: Page, deadUntil: string): Promise<MovedLetter[]> {
    const rows = await this.#query<MovedRow>(text, [...this.#values(filter, page), deadUntil]);
    return rows.map(([eventId, createdAt, seq, isMoved]) => ({ eventId, createdAt, seq, isMoved }));
  }

  #values({ eventIds, aggregateId, reason, topic, since }: DeadLetterFilter, { after, lettersMax }: Page) {
    const { topicTemplate, topicDefault } = this.#routing;
    return [
      eventIds ?? null,
      aggregateId ?? null,
      reason ?? null,
      topic ?? null,
      since ?? null,
      topicTemplate,
      topicDefault,
      after?.createdAt ?? null,
      after?.seq ?? null,
      after?.eventId ?? null,
      lettersMax,
    ];
  }

  async #query<R extends unknown[]>(text: string, values: readonly unknown[]): Promise<R[]> {
    try {
      return await this.#session.query<R>(text, values);
    } catch (error) {
      throw explained(error, this.#tables);
    }
  }

  async #typeOfPayload(): Promise<PayloadType> {
    this.#payloadType ??= await this.#readPayloadType();
    return this.#payloadType;
  }

  async #readPayloadType(): Promise<PayloadType> {
    const [row] = await this.#query<[PayloadType]>(
      `select format_type(atttypid, null) from pg_catalog.pg_attribute
        where attrelid = $1::regclass and attname = 'event_payload'`,
      [this.#tables.letters],
    );
    return row?.[0] ?? "json";
  }
}

/** Tables that are missing and rights that are missing are what a person meets first: say what mends them. */
function explained(error: unknown, { events, blocks, letters }: Tables): unknown {
  const code = sqlstateOf(error);
  if (code === "42P01" || code === "3F000") {
    return new OutriderError("OUTBOX_UNFIT", `${letters} or a table beside it is missing`, {
      repair: "outrider migrate",
      cause: error,
    });
  }
  if (code !== "42501") return error;
  return new OutriderError("OUTBOX_FAILED", messageOf(error), {
    repair: `grant select, insert, update, delete on ${blocks}, ${letters} to the role; to redrive, also: grant select, insert on ${events}`,
    cause: error,
  });
}

function toBlock(row: BlockRow): BlockRecord {
  const [eventId, aggregateId, shard, createdAt, seq, reason, message, attempts] = row;
  return { eventId, aggregateId, shard, createdAt, seq, reason, message, attempts };
}

function toLetter(row: LetterRow): DeadLetter {
  const [eventId, aggregateId, createdAt, seq, eventType, aggregateType, topic, ...rest] = row;
  const [reason, message, attempts, deadAt, payloadBytes] = rest;
  return {
    eventId,
    aggregateId,
    createdAt,
    seq,
    eventType,
    aggregateType,
    topic,
    reason,
    message,
    attempts,
    deadAt,
    payloadBytes,
  };
}
