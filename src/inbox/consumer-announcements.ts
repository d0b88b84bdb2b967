/** All that a consumer says aloud. Nothing here carries a payload; `message` is what the user's own code threw. */

export type ConsumerAnnouncement =
  /** The member has its share of the partitions, for now; said again after every rebalance. */
  | { readonly type: "partitions-assigned"; readonly partitions: readonly string[] }
  /** The group shares its partitions out anew: nothing more is begun until that is over. */
  | { readonly type: "rebalancing" }
  /** The work of an event failed; its aggregate waits, the others go on. */
  | {
      readonly type: "event-failed";
      readonly place: string;
      readonly eventId: string | null;
      readonly aggregateId: string | null;
      readonly message: string;
      readonly failures: number;
      readonly retryInMs: number;
    }
  /** An event that had failed before is done. */
  | { readonly type: "event-recovered"; readonly place: string; readonly eventId: string | null }
  /** `onPoisoned` took the event; its aggregate goes on without it. */
  | {
      readonly type: "event-parked";
      readonly place: string;
      readonly eventId: string | null;
      readonly aggregateId: string | null;
      readonly message: string;
      readonly attempts: number;
    }
  /** Nothing more of the partition is fetched until what was fetched is done; `behind` is what it waits for first. */
  | {
      readonly type: "partition-paused";
      readonly place: string;
      readonly behind: string;
      readonly isBlocked: boolean;
    }
  | { readonly type: "partition-resumed"; readonly place: string }
  /** Offsets could not be committed; tried again, and until then a crash brings more events again. */
  | { readonly type: "commit-failed"; readonly message: string }
  /** Work was still running when its time was over; its event is not committed and will come again. */
  | { readonly type: "work-abandoned"; readonly events: number }
  /** kafkajs gave up its connection to the group. Without `restart` the consumer has ended. */
  | { readonly type: "consumer-crashed"; readonly message: string; readonly restart: boolean }
  | { readonly type: "consumer-stopped"; readonly handledTotal: number };

export type ConsumerListener = (announcement: ConsumerAnnouncement) => void;

const errors: ReadonlySet<ConsumerAnnouncement["type"]> = new Set([
  "event-parked",
  "work-abandoned",
  "consumer-crashed",
]);
const warnings: ReadonlySet<ConsumerAnnouncement["type"]> = new Set([
  "event-failed",
  "partition-paused",
  "commit-failed",
]);

/** Where nobody listens, what went wrong goes to the consumer's own log: a silent failure is the worst one. */
export function toLogger(logger: {
  warn(message: string, extra?: object): void;
  error(message: string, extra?: object): void;
}): ConsumerListener {
  return ({ type, ...extra }) => {
    if (errors.has(type)) logger.error(`outrider: ${type}`, extra);
    else if (warnings.has(type)) logger.warn(`outrider: ${type}`, extra);
  };
}
