/** What PostgreSQL says about the outbox, the role, the server and who is in the way; as a port and its facts. */
import type { Micros } from "../event/position.ts";
import type { Fault } from "../outbox/outbox.ts";
import type { Privilege } from "./privileges.ts";

export interface DatabaseCheckup {
  /**
   * Reads only; every list is bounded. `role`: whom to judge, null for the connected one.
   * @throws OutriderError OUTBOX_UNAVAILABLE (retriable), OUTBOX_REFUSED or OUTBOX_FAILED.
   */
  read(role: string | null): Promise<DatabaseFacts>;
}

export interface DatabaseFacts {
  readonly role: RoleFacts;
  readonly server: ServerFacts;
  /** Null when there is no such table. */
  readonly table: TableFacts | null;
  /** What keeps a relay from starting, as it would say it itself. */
  readonly faults: readonly Fault[];
  /** Migrations that are known and not applied; null when the bookkeeping cannot be read. */
  readonly pendingMigrations: readonly string[] | null;
  readonly holders: readonly Holder[];
  /** What the rows themselves show; null when they cannot be read. */
  readonly rows: RowFacts | null;
  /** Names the outbox in Kafka; null when it cannot be read. */
  readonly outboxId: string | null;
}

export interface RoleFacts {
  readonly name: string;
  readonly isSuperuser: boolean;
  /** The role that initdb made: it stays a superuser. */
  readonly isBootstrap: boolean;
  /** Of the outbox table, itself or through a membership. */
  readonly isOwner: boolean;
  readonly hasSchemaUsage: boolean;
  /** By table; a table that is not there is left out. Column rights do not count. */
  readonly tables: Readonly<Record<string, TableRights>>;
  /** Rights on the outbox that no relay needs, and through whom the role has them. */
  readonly excess: readonly { readonly privilege: string; readonly grantee: string | null }[];
}

export type TableRights = Readonly<Record<Privilege, boolean>> & {
  /** Row security hides rows of this table from the role. */
  readonly hidesRows: boolean;
};

export interface ServerFacts {
  /** The database's clock less this process's, and how far off that may be. Milliseconds. */
  readonly clockAheadMs: number;
  readonly clockUncertaintyMs: number;
  /** The connection does not end at the server that runs the statements. */
  readonly isPooled: boolean;
  readonly isStandby: boolean;
  readonly isReadOnly: boolean;
  readonly autovacuum: boolean;
  readonly fsync: boolean;
  readonly synchronousCommit: boolean;
  /** As it applies to this connection; 0 for none. */
  readonly statementTimeoutMs: number;
  /** How many locks the server has room for, whoever is connected. */
  readonly lockSlots: number;
}

export interface TableFacts {
  readonly options: readonly string[];
  /** Null when there is no TOAST table. */
  readonly toastOptions: readonly string[] | null;
  readonly createdAtDefault: string | null;
  /** An index of the outbox's own name that a failed build has left behind. */
  readonly invalidIndex: string | null;
  /** For which sessions the trigger of the narrow fence fires, as `tgenabled` says; null without one. */
  readonly announcing: string | null;
  readonly deadTuples: number;
  readonly liveTuples: number;
  /** Who may insert and supply a created_at: grantees, null standing for PUBLIC; without the owner. */
  readonly stampers: readonly (string | null)[];
}

/** Somebody whose snapshot or transaction keeps vacuum from removing what was deleted since. */
export type Holder = {
  /** How long already; null when this role may not see it. Milliseconds. */
  readonly ageMs: number | null;
} & (
  | {
      readonly kind: "session" | "standby";
      readonly pid: number;
      readonly application: string;
      readonly user: string | null;
      readonly state: string | null;
      /** It has written to the outbox: the fence waits for it as well. */
      readonly isWriter: boolean;
    }
  | { readonly kind: "prepared"; readonly gid: string; readonly owner: string }
  | {
      readonly kind: "slot";
      readonly slot: string;
      readonly isActive: boolean;
      readonly holdsRows: boolean;
      /** Bytes of WAL that are kept for it. */
      readonly walBytes: number;
    }
);

export interface RowFacts {
  /** Distinct among the first rows, as many as were looked at. */
  readonly destinations: readonly { readonly topic: string | null; readonly aggregateType: string | null }[];
  /** From both ends of each shard. */
  readonly stamps: readonly { readonly createdAt: Micros; readonly seq: bigint }[];
  /** The database's clock when they were read. */
  readonly clock: Micros;
  readonly blocked: number;
  readonly deadLetters: number;
}
