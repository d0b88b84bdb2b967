/** What the inbox is given, checked before the database is touched: an error there would spoil the transaction. */
import { eventIdShape } from "../event/event-id.ts";
import { OutriderError } from "../foundation/errors.ts";
import { isStorable, schemaProblem, unstorable } from "../foundation/sql-text.ts";

/**
 * An event id as text, or as the header `event_id` arrives: bytes, or nothing. What is no single UUID is
 * refused when it is used, so that a header can be handed over as it is.
 */
export type EventIdSource = string | Uint8Array | readonly (string | Uint8Array)[] | undefined;

export interface InboxOptions {
  /** Where `processed_events` lives. Default: the `search_path` of the connection decides. */
  readonly schema?: string;
}

export interface PruneOptions extends InboxOptions {
  /** How long a mark is kept, in ms: at least one hour, at most ten years. */
  readonly retentionMs: number;
  /** Most marks to delete, 1 to 100,000. Default 5,000. */
  readonly rowsMax?: number;
}

const consumerLengthMax = 255;
export const batchEventsMax = 10_000;
/** Less is a mistaken unit, and would let deliveries of the same minute through twice. */
export const retentionMsMin = 3_600_000;
export const retentionMsMax = 10 * 366 * 24 * 3_600_000;
export const pruneRowsMax = 100_000;
const pruneRowsDefault = 5_000;

/** The event id as PostgreSQL spells it. @throws OutriderError INBOX_INVALID naming every fault. */
export function checkedOnce(consumer: unknown, eventId: unknown, options: InboxOptions): string {
  const faults = faultsOf(consumer, options);
  const id = idFrom(eventId);
  if (id === undefined) faults.push(idProblem("the event id", eventId));
  if (id === undefined || faults.length > 0) throw invalid(faults);
  return id;
}

/** The events by their ids, the first of each, in the order given. @throws OutriderError INBOX_INVALID. */
export function checkedBatch<E>(
  consumer: unknown,
  events: readonly E[],
  idOf: (event: E) => unknown,
  options: InboxOptions,
): ReadonlyMap<string, E> {
  const faults = faultsOf(consumer, options);
  if (events.length > batchEventsMax) {
    faults.push(`${events.length} events are more than ${batchEventsMax}: mark them in several batches`);
    throw invalid(faults);
  }
  const byId = new Map<string, E>();
  events.forEach((event, index) => {
    const given = idOf(event);
    const id = idFrom(given);
    if (id === undefined) faults.push(idProblem(`the event id of events[${index}]`, given));
    else if (!byId.has(id)) byId.set(id, event);
  });
  if (faults.length > 0) throw invalid(faults);
  return byId;
}

/** The options with their defaults. @throws OutriderError INBOX_INVALID naming every fault. */
export function checkedPruning(
  options: PruneOptions,
): Required<Pick<PruneOptions, "retentionMs" | "rowsMax">> {
  const { retentionMs, rowsMax = pruneRowsDefault } = options;
  const faults: string[] = [];
  const schema = schemaProblem(options.schema);
  if (schema !== undefined) faults.push(schema);
  if (!isWithin(retentionMs, retentionMsMin, retentionMsMax)) {
    faults.push(
      `options.retentionMs is no whole number from ${retentionMsMin} (an hour) to ${retentionMsMax} ms`,
    );
  }
  if (!isWithin(rowsMax, 1, pruneRowsMax)) {
    faults.push(`options.rowsMax is no whole number from 1 to ${pruneRowsMax}`);
  }
  if (faults.length > 0) throw invalid(faults);
  return { retentionMs, rowsMax };
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}

function faultsOf(consumer: unknown, { schema }: InboxOptions): string[] {
  const faults: string[] = [];
  if (typeof consumer !== "string" || consumer === "") {
    faults.push("the consumer has no name: give the name of who processes, the same in all its processes");
  } else if (Array.from(consumer).length > consumerLengthMax) {
    faults.push(`the name of the consumer is longer than ${consumerLengthMax} characters`);
  } else if (!isStorable(consumer)) {
    faults.push(`the name of the consumer ${unstorable}`);
  }
  const problem = schemaProblem(schema);
  if (problem !== undefined) faults.push(problem);
  return faults;
}

/** Lower case, as PostgreSQL gives it back: what was marked is found again by comparing texts. */
function idFrom(given: unknown): string | undefined {
  const text = given instanceof Uint8Array ? Buffer.from(given).toString("latin1") : given;
  return typeof text === "string" && eventIdShape.test(text) ? text.toLowerCase() : undefined;
}

function idProblem(place: string, given: unknown): string {
  if (given === undefined || given === null) return `${place} is missing: hand over the header event_id`;
  if (Array.isArray(given)) return `${place} is a list: the message has several headers event_id`;
  return `${place} is no UUID: 8-4-4-4-12 hexadecimal digits are needed`;
}

/** So many are named; the rest is counted. */
const faultsNamedMax = 20;

function invalid(faults: readonly string[]): OutriderError {
  const count = faults.length === 1 ? "1 fault" : `${faults.length} faults`;
  const more = faults.length > faultsNamedMax ? `; and ${faults.length - faultsNamedMax} more` : "";
  return new OutriderError(
    "INBOX_INVALID",
    `${count}, no work was run: ${faults.slice(0, faultsNamedMax).join("; ")}${more}`,
  );
}
