/**
 * The log: one JSON object a line, made from the relay's announcements. Nothing here ever sees a
 * payload, and errors arrive as sentences; what a driver may put into such a sentence is struck out
 * (`redaction.ts`). Every field is described in docs/observability.md.
 */
import { type DestinationStream, destination, type Level, type Logger, pino, stdTimeFunctions } from "pino";
import type { Announcement, AnnouncementType, Listener } from "../relay/announcements.ts";
import { type IdStyle, idWriter, redactedPaths, struckOut } from "./redaction.ts";

interface LogOptions {
  readonly level: Level | "silent";
  readonly instance: string;
  readonly version: string;
  /** Strikes secrets out of a text. */
  readonly redact: (text: string) => string;
}

/** Writes to standard output, or to standard error when events go to standard output. */
export function openLog(options: LogOptions, stream: "stdout" | "stderr" | DestinationStream): Logger {
  const target =
    typeof stream === "string" ? destination({ fd: stream === "stdout" ? 1 : 2, sync: true }) : stream;
  return pino(
    {
      level: options.level,
      base: { service: "outrider", version: options.version, instance: options.instance },
      timestamp: stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => mapTexts(fields, options.redact),
      },
      redact: { paths: [...redactedPaths], censor: struckOut },
      hooks: {
        logMethod(args, method) {
          const redacted = args.map((arg) => (typeof arg === "string" ? options.redact(arg) : arg));
          method.apply(this, redacted as Parameters<typeof method>);
        },
      },
    },
    target,
  );
}

/** The fields of a line with every text on the first level changed. */
function mapTexts(
  fields: Record<string, unknown>,
  change: (text: string) => string,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === "string" ? change(value) : value]),
  );
}

type Sentence<T extends AnnouncementType> = (announcement: Extract<Announcement, { type: T }>) => string;

/** Level and sentence of every announcement; a new one does not compile until it stands here. */
const lines: { readonly [T in AnnouncementType]: readonly [Level, Sentence<T>] } = {
  "relay-started": ["info", () => "relaying"],
  "relay-stopping": ["info", () => "stopping: finishing what is in flight"],
  "relay-stopped": ["info", () => "stopped"],
  polled: ["debug", ({ events }) => `claimed ${events} event(s)`],
  "batch-published": ["debug", ({ events }) => `published ${events} event(s)`],
  "batch-removed": ["debug", ({ events }) => `removed ${events} event(s)`],
  "batch-resolved": [
    "warn",
    ({ events, isCommitted }) =>
      `the relay before left a batch of ${events} event(s) open: ${isCommitted ? "Kafka has it, its rows go" : "Kafka does not have it, its rows are published"}`,
  ],
  "batch-in-doubt": [
    "error",
    ({ eventIds }) =>
      `the relay before deleted ${eventIds.length} event(s) and may not have published them: see eventIds`,
  ],
  "events-dropped": [
    "error",
    ({ rejected, unknown, message }) =>
      `dropped ${rejected} rejected event(s) and ${unknown} of unknown outcome, see eventIds: ${message}`,
  ],
  "outbox-lost": ["warn", ({ message }) => `waiting for PostgreSQL: ${message}`],
  "outbox-back": ["info", () => "PostgreSQL is back"],
  "broker-lost": ["warn", ({ message }) => `waiting for the broker: ${message}`],
  "broker-back": ["info", () => "the broker is back"],
  "leases-changed": [
    "info",
    ({ held, members }) => `relaying ${held} shard(s); ${members} relay(s) are alive`,
  ],
  "lease-round-failed": ["debug", ({ message }) => `leases could not be renewed: ${message}`],
  "aggregate-blocked": ["error", ({ message }) => `an event was rejected, its aggregate waits: ${message}`],
  "aggregate-unblocked": ["info", () => "a blocked aggregate flows again"],
  "event-dead-lettered": [
    "error",
    ({ attempts, message }) =>
      `gave an event up after ${attempts} rejection(s), it is a dead letter: ${message}`,
  ],
  "blocked-limit-reached": [
    "error",
    ({ blocked }) => `${blocked} aggregates are blocked: claiming nothing more until one is free`,
  ],
  "fence-held": [
    "warn",
    ({ pid }) => `an open transaction (pid ${pid ?? "none: prepared"}) holds back all newer events`,
  ],
  "fence-passed": [
    "error",
    ({ pid }) =>
      `no longer waiting for the open transaction (pid ${pid ?? "none: prepared"}): its events will be late`,
  ],
  "late-events": [
    "warn",
    ({ events }) => `${events} event(s) appeared behind the fence and are published late`,
  ],
  "dispatch-started": ["debug", () => "a scheduled run begins"],
  "dispatch-finished": [
    "info",
    ({ events, skipped }) =>
      `a scheduled run published ${events} event(s)${skipped === 0 ? "" : `; ${skipped} tick(s) were skipped meanwhile`}`,
  ],
  "dispatch-skipped": [
    "warn",
    ({ openForMs }) =>
      `a tick of the schedule is skipped: the run before it has been open for ${openForMs} ms`,
  ],
  "dispatch-missed": [
    "warn",
    ({ ticks, lastDueAt }) =>
      `missed ${ticks} tick(s) of the schedule, the last one due at ${lastDueAt}: this process was not awake`,
  ],
  swept: ["debug", () => "looked at everything behind the cursors"],
  "inbox-pruned": ["info", ({ rows }) => `pruned ${rows} mark(s) of processed events`],
  "inbox-unprunable": [
    "warn",
    ({ obstacle }) =>
      obstacle === "missing"
        ? "OUTRIDER_INBOX_RETENTION_MS is set, but there is no processed_events in this schema: outrider migrate"
        : "processed_events is not pruned: grant select, delete on it to the relay's role, or set OUTRIDER_INBOX_RETENTION_MS=0",
  ],
  "backlog-counted": ["info", ({ events, isMore }) => `${isMore ? "more than " : ""}${events} event(s) wait`],
};

/** The level that an announcement is written at. */
export function levelOf(type: AnnouncementType): Level {
  return lines[type][0];
}

/** Fields that hold ids of the application: one, or a list of them. */
const idFields = ["eventId", "eventIds", "aggregateId"] as const;

function withIds(fields: Record<string, unknown>, write: (id: string) => string | undefined): object {
  const changed = { ...fields };
  for (const name of idFields) {
    const value = fields[name];
    if (typeof value === "string") changed[name] = write(value);
    if (Array.isArray(value)) changed[name] = value.flatMap((id) => write(String(id)) ?? []);
  }
  return changed;
}

/** A listener that writes each announcement, with its fields, at its level. */
export function logListener(log: Logger, ids: IdStyle): Listener {
  const write = idWriter(ids);
  const shown = (fields: Record<string, unknown>) => (ids === "plain" ? fields : withIds(fields, write));
  return <T extends AnnouncementType>(announcement: Extract<Announcement, { type: T }>) => {
    const [level, sentence] = lines[announcement.type as T] as readonly [Level, Sentence<T>];
    if (!log.isLevelEnabled(level)) return;
    const { type, ...fields } = announcement;
    log[level]({ event: type, ...shown(fields) }, sentence(announcement));
  };
}
