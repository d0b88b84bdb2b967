/**
 * Every metric, once: type, labels, meaning. The registry, the exposition and docs/observability.md are
 * made from this table. Base units, counters end in `_total`; no label ever holds an id.
 */

interface RowBase {
  readonly labels: readonly string[];
  readonly meaning: string;
}

export type MetricRow =
  | (RowBase & { readonly type: "counter" | "gauge" })
  /** Upper bounds, rising; the one of infinity goes without saying. */
  | (RowBase & {
      readonly type: "histogram";
      readonly labels: readonly [];
      readonly bounds: readonly number[];
    });

const gauge = <const L extends readonly string[]>(meaning: string, ...labels: L) =>
  ({ type: "gauge", labels, meaning }) as const;
const counter = <const L extends readonly string[]>(meaning: string, ...labels: L) =>
  ({ type: "counter", labels, meaning }) as const;
const histogram = (meaning: string, bounds: readonly number[]) =>
  ({ type: "histogram", labels: [], meaning, bounds }) as const;

const callSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const waitSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600];
const batchSizes = [1, 5, 10, 50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 20_000];

const table = {
  outrider_build_info: gauge("Always 1; which version runs, on which Node.js.", "version", "node"),
  outrider_delivery_info: gauge("Always 1; the delivery mode and where events go.", "delivery", "publisher"),
  outrider_ready: gauge("1 when /readyz would answer 200."),
  outrider_round_age_seconds: gauge(
    "Time since the slowest loop began a round, or an attempt at what is away; what /livez goes by.",
  ),

  outrider_backlog_events: gauge(
    "Events that waited at the last count, which stops at 100,000; NaN before the first.",
  ),
  outrider_backlog_capped: gauge("1 when that count stopped at its limit: there are more."),
  outrider_oldest_age_seconds: gauge(
    "Age of the oldest waiting event at the last count, grown while PostgreSQL is away; 0 when none waited. The one to alert on.",
  ),
  outrider_backlog_count_age_seconds: gauge(
    "Time since the last count of the backlog (since the start, before the first).",
  ),
  outrider_fence_lag_seconds: gauge("How far the fence stood behind the database's clock at the last claim."),
  outrider_fence_holder_pid: gauge(
    "Backend whose open transaction is holding newer events back, once it is named; -1 when it is a prepared one, 0 when there is none.",
  ),
  outrider_fence_held_total: counter(
    "Open transactions that held the fence for longer than the warning time.",
  ),
  outrider_fence_passed_total: counter("Open transactions the relay stopped waiting for."),
  outrider_late_events_total: counter("Events that appeared behind the fence and were published late."),
  outrider_sweeps_total: counter("Times that everything behind the cursors was looked at."),

  outrider_polls_total: counter("Looks with a claim. An idle outbox is watched with something cheaper."),
  outrider_events_claimed_total: counter("Events read; a blocked or lost one is read again."),
  outrider_bytes_claimed_total: counter("Payload bytes read."),
  outrider_claim_duration_seconds: histogram("A look and a claim.", callSeconds),
  outrider_events_published_total: counter("Events that the broker has acknowledged.", "topic"),
  outrider_events_rejected_total: counter("Events that the broker refused, at each attempt.", "topic"),
  outrider_events_unknown_total: counter(
    "Events whose outcome is unknown, at each attempt: they are sent again (at-most-once: dropped).",
    "topic",
  ),
  outrider_events_resent_total: counter(
    "Events acknowledged after an attempt with an unknown outcome: so many may be there twice, at most.",
    "topic",
  ),
  outrider_batch_events: histogram("Events acknowledged by one call of the publisher.", batchSizes),
  outrider_publish_duration_seconds: histogram("One call of the publisher.", callSeconds),
  outrider_delivery_latency_seconds: histogram(
    "From created_at to the broker's answer, by the database's clock as of the last claim.",
    waitSeconds,
  ),
  outrider_events_removed_total: counter("Rows deleted."),
  outrider_events_gone_total: counter("Events that were acknowledged and whose row was not there any more."),
  outrider_remove_duration_seconds: histogram("Deleting the rows of a batch, with all retries.", callSeconds),

  outrider_blocked_aggregates: gauge("Aggregates of this relay that wait behind a rejected event."),
  outrider_blocks_total: counter("Rejections that made an aggregate wait, at each attempt.", "reason"),
  outrider_unblocks_total: counter("Aggregates that flow again."),
  outrider_blocked_limit_reached_total: counter(
    "Times that claiming stopped because too many aggregates wait.",
  ),
  outrider_events_dead_lettered_total: counter("Events moved to the dead letters.", "reason"),
  outrider_events_dropped_total: counter("At-most-once: events deleted and not published.", "outcome"),
  outrider_events_in_doubt_total: counter(
    "At-most-once: events that a relay which died had deleted and may not have published.",
  ),
  outrider_batches_resolved_total: counter(
    "Exactly-once: batches that the relay before had left open, by whether Kafka had them.",
    "committed",
  ),

  outrider_outbox_up: gauge("1 when PostgreSQL answered last, 0 when it is waited for."),
  outrider_broker_up: gauge("1 when the broker answered last, 0 when it is waited for."),
  outrider_outages_total: counter("Times that PostgreSQL (outbox) or Kafka (broker) went away.", "of"),
  outrider_outage_duration_seconds_total: counter("How long they were away, all outages together.", "of"),

  outrider_leases_held: gauge("Shards that are this relay's."),
  outrider_members: gauge("Relays of this outbox that are alive."),
  outrider_leases_changed_total: counter("Shards that came or went.", "change"),
  outrider_lease_rounds_failed_total: counter("Rounds with the lease table that failed."),

  outrider_dispatch_runs_total: counter("Runs of the schedule that have ended."),
  outrider_dispatch_skipped_total: counter("Ticks skipped because a run was open."),
  outrider_dispatch_missed_total: counter("Ticks for which the process was not awake."),
  outrider_inbox_pruned_rows_total: counter("Marks deleted from the inbox beside the outbox."),

  process_cpu_user_seconds_total: counter("CPU time spent in user mode."),
  process_cpu_system_seconds_total: counter("CPU time spent in system mode."),
  process_resident_memory_bytes: gauge("Resident memory."),
  process_start_time_seconds: gauge("When the process started, in seconds since 1970."),
  nodejs_heap_size_used_bytes: gauge("JavaScript heap in use."),
  nodejs_eventloop_lag_seconds: gauge("How long the event loop took to get back to this scrape."),
  nodejs_eventloop_active_seconds_total: counter(
    "Time the event loop was busy; its rate is the utilization.",
  ),
} as const;

export const metricTable = table satisfies Record<string, MetricRow>;

export type MetricTable = typeof metricTable;
export type MetricName = keyof MetricTable;

type NamesOf<T extends MetricRow["type"]> = {
  [N in MetricName]: MetricTable[N]["type"] extends T ? N : never;
}[MetricName];

export type CounterName = NamesOf<"counter">;
export type GaugeName = NamesOf<"gauge">;
export type HistogramName = NamesOf<"histogram">;

/** One text for each label of a metric, in their order. */
export type LabelValues<N extends MetricName> = TextsOf<MetricTable[N]["labels"]>;

type TextsOf<L extends readonly string[]> = { readonly [I in keyof L]: string };
