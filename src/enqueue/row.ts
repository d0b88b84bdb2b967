/** An event as the application gave it becomes the texts of a row, or sentences about what is wrong. */
import type { NewEvent } from "../event/event.ts";
import { eventIdShape } from "../event/event-id.ts";
import { aggregateIdLengthMax, topicShape } from "../event/message.ts";
import { isStorable, unstorable } from "../foundation/sql-text.ts";
import { newEventId } from "./event-id.ts";
import { type Complain, type PayloadType, storeAs } from "./payload.ts";

/** The columns that `enqueue` writes, as text; the payload as JSON text or base64. */
export interface EventRow {
  readonly event_id: string;
  readonly aggregate_id: string;
  readonly event_payload: string;
  readonly event_type: string | null;
  readonly aggregate_type: string | null;
  readonly topic: string | null;
  readonly headers: string | null;
}

/** The relay writes these itself; an event's own would be overwritten without a word. */
export const reservedHeaders: ReadonlySet<string> = new Set([
  "event_id",
  "event_type",
  "aggregate_type",
  "created_at",
]);

/** Takes the field and one sentence about what is wrong with it. */
export type Fault = (field: string, problem: string) => void;

export type TraceHeaders = Readonly<Record<string, string>> | undefined;

/** Reports every fault it finds; the row is worth nothing when there was one. */
export function toRow(event: NewEvent, type: PayloadType, trace: TraceHeaders, fault: Fault): EventRow {
  const complainAbout =
    (field: string): Complain =>
    (problem) =>
      fault(field, problem);
  return {
    event_id: eventIdOf(event.eventId, complainAbout("eventId")),
    aggregate_id: aggregateIdOf(event.aggregateId, complainAbout("aggregateId")),
    event_payload: storeAs(type, event.payload, complainAbout("payload")) ?? "",
    event_type: optionalText(event.eventType, complainAbout("eventType")),
    aggregate_type: optionalText(event.aggregateType, complainAbout("aggregateType")),
    topic: topicOf(event.topic, complainAbout("topic")),
    headers: headersOf(event.headers, trace, fault),
  };
}

/** Lower case, as PostgreSQL gives it back: the returned id must equal the one that is published. */
function eventIdOf(given: unknown, complain: Complain): string {
  if (isAbsent(given)) return newEventId();
  if (typeof given === "string" && eventIdShape.test(given)) return given.toLowerCase();
  complain("is no UUID: leave it out to get a new one, or give 8-4-4-4-12 hexadecimal digits");
  return "";
}

function aggregateIdOf(given: unknown, complain: Complain): string {
  if (typeof given !== "string") {
    complain(`is ${nameOf(given)}: give the id of the aggregate's root as a string`);
  } else if (given === "") {
    complain("is empty: give the id of the aggregate's root");
  } else if (isLongerThan(given, aggregateIdLengthMax)) {
    complain(`is longer than ${aggregateIdLengthMax} characters`);
  } else if (!isStorable(given)) {
    complain(unstorable);
  } else {
    return given;
  }
  return "";
}

/** Characters as PostgreSQL counts them; a string has at least half as many as its `length`. */
function isLongerThan(text: string, charactersMax: number): boolean {
  if (text.length <= charactersMax) return false;
  return text.length > charactersMax * 2 || Array.from(text).length > charactersMax;
}

function optionalText(given: unknown, complain: Complain): string | null {
  if (isAbsent(given)) return null;
  if (typeof given !== "string" || given === "") {
    complain(`is ${given === "" ? "empty" : nameOf(given)}: leave it out or give a string`);
  } else if (!isStorable(given)) {
    complain(unstorable);
  } else {
    return given;
  }
  return null;
}

function topicOf(given: unknown, complain: Complain): string | null {
  if (isAbsent(given)) return null;
  if (typeof given === "string" && topicShape.test(given) && given !== "." && given !== "..") return given;
  complain("is no topic name: 1 to 249 of a-z A-Z 0-9 . _ - are allowed, but not . or .. alone");
  return null;
}

function headersOf(given: unknown, trace: TraceHeaders, fault: Fault): string | null {
  const own = isAbsent(given) ? {} : ownHeaders(given, fault);
  // A tracestate belongs to its traceparent: beside the caller's own it would be a lie.
  const headers = trace === undefined || "traceparent" in own ? own : { ...trace, ...own };
  return Object.keys(headers).length === 0 ? null : JSON.stringify(headers);
}

function ownHeaders(given: unknown, fault: Fault): object {
  // A Map or Headers has no properties of its own: taken as an object it would be empty.
  if (typeof given !== "object" || given === null || Symbol.iterator in given) {
    fault("headers", "is no plain object: give an object whose values are strings");
    return {};
  }
  for (const [name, value] of Object.entries(given)) {
    const problem = headerProblem(name, value);
    if (problem !== undefined) fault(`headers[${JSON.stringify(name.slice(0, 64))}]`, problem);
  }
  return given;
}

function headerProblem(name: string, value: unknown): string | undefined {
  if (reservedHeaders.has(name)) return "is reserved: the relay writes this header itself";
  if (name === "") return "has an empty name";
  if (typeof value !== "string") return `is ${nameOf(value)}: header values must be strings`;
  return isStorable(name) && isStorable(value) ? undefined : unstorable;
}

function isAbsent(given: unknown): given is null | undefined {
  return given === undefined || given === null;
}

function nameOf(given: unknown): string {
  if (isAbsent(given)) return "missing";
  return Array.isArray(given) ? "a list" : `of type ${typeof given}`;
}
