/**
 * Which role needs which right on which table: one list for `outrider grants`, which prints it, and for
 * `outrider doctor`, which compares it with what a role has.
 */
import type { Settings } from "./settings.ts";

export type Privilege = "select" | "insert" | "update" | "delete";

/** Who works with the tables, each with rights of its own. */
export type RoleKind = "app" | "relay" | "consumer" | "operator" | "reader";

export interface Need {
  readonly table: string;
  readonly privilege: Privilege;
  /** Only these columns; all of them where left out. */
  readonly columns?: readonly string[];
  /** What cannot be done without it, as the end of "… cannot …". */
  readonly purpose: string;
}

/** What an application writes. Without created_at: then nobody can supply it, and the fence sees every event. */
const writtenColumns = [
  "event_id",
  "aggregate_id",
  "event_payload",
  "event_type",
  "aggregate_type",
  "topic",
  "headers",
] as const;

/** All but the payload, which is nobody's business who only watches. */
const watchedColumns = [
  "event_id",
  "aggregate_id",
  "created_at",
  "seq",
  "event_type",
  "aggregate_type",
  "topic",
  "headers",
  "shard",
] as const;

const events = "undispatched_events";
const blocks = "outrider_blocked_aggregates";
const letters = "outrider_dead_letters";

function needs(table: string, purpose: string, ...privileges: readonly Privilege[]): Need[] {
  return privileges.map((privilege) => ({ table, privilege, purpose }));
}

export interface NeedOptions extends Pick<Settings, "delivery" | "inboxRetentionMs"> {
  /** The application supplies `created_at` itself. Its events may then come late: see the README. */
  readonly doesStamp?: boolean;
}

export function needsOf(kind: RoleKind, options: NeedOptions): readonly Need[] {
  switch (kind) {
    case "app":
      return [
        {
          table: events,
          privilege: "insert",
          columns: [...writtenColumns, ...(options.doesStamp === true ? ["created_at"] : [])],
          purpose: "write events",
        },
      ];
    case "relay":
      return needsOfRelay(options);
    case "consumer":
      // `on conflict (columns) … returning` reads what it names.
      return needs("processed_events", "mark events as processed", "select", "insert");
    case "operator":
      return [
        ...needs(events, "redrive dead letters", "select", "insert"),
        ...needs(letters, "redrive or discard dead letters", "select", "delete"),
        ...needs(blocks, "list blocked aggregates", "select"),
      ];
    case "reader":
      return [
        {
          table: events,
          privilege: "select",
          columns: watchedColumns,
          purpose: "look at what waits",
        },
        ...[
          "outrider_shard_leases",
          "outrider_members",
          blocks,
          letters,
          "outrider_batch_intents",
          "outrider_identity",
          "outrider_migrations",
        ].flatMap((table) => needs(table, "look at the relays and what they refused", "select")),
      ];
  }
}

function needsOfRelay({ delivery, inboxRetentionMs }: NeedOptions): readonly Need[] {
  return [
    ...needs(events, "claim and remove events", "select", "delete"),
    ...needs("outrider_shard_leases", "take and renew leases", "select", "update"),
    ...needs("outrider_members", "be counted among the relays", "select", "insert", "update", "delete"),
    ...needs(blocks, "write down rejected events", "select", "insert", "update", "delete"),
    ...needs(letters, "give events up", "select", "insert", "update"),
    ...needs("outrider_migrations", "see that the schema is not newer than itself", "select"),
    ...(delivery === "at-least-once"
      ? []
      : needs("outrider_batch_intents", "write down its batches", "select", "update")),
    ...(delivery === "exactly-once" ? needs("outrider_identity", "name itself to Kafka", "select") : []),
    ...(inboxRetentionMs === 0 ? [] : needs("processed_events", "prune the inbox", "select", "delete")),
  ];
}
