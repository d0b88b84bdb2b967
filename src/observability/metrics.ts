/**
 * Metrics: a listener that counts what the relay announces, and a page of it for Prometheus. What an
 * announcement cannot say, because it is a state and not an event, is read when the page is asked for.
 */
import { rejectionReasons } from "../event/delivery.ts";
import type { Clock } from "../foundation/clock.ts";
import type { Announcement, AnnouncementType, Listener } from "../relay/announcements.ts";
import type { Outcome } from "../relay/published-batch.ts";
import { readProcess } from "./process-metrics.ts";
import { Registry } from "./registry.ts";

export interface MetricsFacts {
  readonly version: string;
  readonly delivery: string;
  readonly publisher: string;
}

/** States that are asked for at a scrape. */
export interface MetricsReadings {
  readonly blockedCount: () => number;
  readonly pulseAgeMs: () => number | null;
  readonly isReady: () => boolean;
}

type Said<T extends AnnouncementType> = Extract<Announcement, { type: T }>;
type Counters = { readonly [T in AnnouncementType]: (said: Said<T>) => void };

const ignore = () => undefined;

export class Metrics {
  readonly registry = new Registry();
  readonly #clock: Clock;
  readonly #readings: MetricsReadings;
  readonly #counters: Counters;
  /** What the database's clock is ahead of this machine's, as of the last claim. */
  #clockAheadMs = 0;
  #countedAtMs: number;
  /** Of the oldest event at the last count. */
  #oldestAgeMs: number | null = Number.NaN;
  /** How far the writer that was named last holds the fence back, at least. */
  #holdMs = 0;

  constructor(clock: Clock, facts: MetricsFacts, readings: MetricsReadings) {
    this.#clock = clock;
    this.#readings = readings;
    this.#countedAtMs = clock.monotonicMs();
    this.#counters = { ...this.#countFlow(), ...this.#countTrouble(), ...this.#countState() };
    this.#begin(facts);
  }

  /** Never throws. A batch is gone through once; everything else is a few additions. */
  readonly listener: Listener = <T extends AnnouncementType>(said: Said<T>) => {
    (this.#counters[said.type as T] as (said: Said<T>) => void)(said);
  };

  /** The page for a scrape. */
  async render(): Promise<string> {
    const { registry } = this;
    const nowMs = this.#clock.monotonicMs();
    const sinceCountMs = nowMs - this.#countedAtMs;
    registry.set("outrider_ready", this.#readings.isReady() ? 1 : 0);
    registry.set("outrider_round_age_seconds", (this.#readings.pulseAgeMs() ?? 0) / 1000);
    registry.set("outrider_blocked_aggregates", this.#readings.blockedCount());
    registry.set("outrider_backlog_count_age_seconds", sinceCountMs / 1000);
    registry.set("outrider_oldest_age_seconds", this.#oldestNowMs(sinceCountMs) / 1000);
    await readProcess(registry, this.#clock);
    return registry.render();
  }

  #begin({ version, delivery, publisher }: MetricsFacts): void {
    const { registry } = this;
    // Not 0: that would say that nothing waits.
    registry.set("outrider_backlog_events", Number.NaN);
    registry.set("outrider_build_info", 1, version, process.version);
    registry.set("outrider_delivery_info", 1, delivery, publisher);
    for (const reason of rejectionReasons) {
      registry.add("outrider_blocks_total", 0, reason);
      registry.add("outrider_events_dead_lettered_total", 0, reason);
    }
    for (const of of ["outbox", "broker"]) {
      registry.add("outrider_outages_total", 0, of);
      registry.add("outrider_outage_duration_seconds_total", 0, of);
    }
    for (const change of ["taken", "lost", "handed-back"])
      registry.add("outrider_leases_changed_total", 0, change);
    for (const outcome of ["rejected", "unknown"]) registry.add("outrider_events_dropped_total", 0, outcome);
    for (const committed of ["true", "false"]) registry.add("outrider_batches_resolved_total", 0, committed);
  }

  /** While PostgreSQL is away nothing can be counted, and nothing is removed either: the oldest grows older. */
  #oldestNowMs(sinceCountMs: number): number {
    if (this.#oldestAgeMs === null || this.registry.valueOf("outrider_outbox_up") === 1)
      return this.#oldestAgeMs ?? 0;
    return this.#oldestAgeMs + sinceCountMs;
  }

  #countPoll({ events, bytes, fenceLagMs, databaseClockMs, durationMs }: Said<"polled">): void {
    const { registry } = this;
    // The look stands at the beginning of what took `durationMs`.
    this.#clockAheadMs = databaseClockMs - (this.#clock.wallMs() - durationMs);
    registry.set("outrider_outbox_up", 1);
    registry.add("outrider_polls_total", 1);
    registry.add("outrider_events_claimed_total", events);
    registry.add("outrider_bytes_claimed_total", bytes);
    registry.observe("outrider_claim_duration_seconds", durationMs / 1000);
    registry.set("outrider_fence_lag_seconds", fenceLagMs / 1000);
    // As long as the same transaction holds it, the fence only falls further behind.
    if (fenceLagMs < this.#holdMs) this.#noteHolder(0, 0);
  }

  #countBatch({ batch, events, unknown, durationMs }: Said<"batch-published">): void {
    const { registry } = this;
    const nowMs = this.#clock.wallMs() + this.#clockAheadMs;
    const topics = new Map<string, Record<Outcome | "resent", number>>();
    batch.forEach(({ topic, outcome, isResent, createdAtMs }) => {
      const counts = topics.get(topic) ?? { acked: 0, rejected: 0, unknown: 0, held: 0, resent: 0 };
      if (counts.acked + counts.rejected + counts.unknown + counts.held === 0) topics.set(topic, counts);
      counts[outcome] += 1;
      if (isResent) counts.resent += 1;
      if (outcome === "acked" && createdAtMs !== undefined)
        registry.observe("outrider_delivery_latency_seconds", Math.max(0, nowMs - createdAtMs) / 1000);
    });
    for (const [topic, { acked, rejected, unknown: lost, resent }] of topics) {
      registry.add("outrider_events_published_total", acked, topic);
      if (rejected > 0) registry.add("outrider_events_rejected_total", rejected, topic);
      if (lost > 0) registry.add("outrider_events_unknown_total", lost, topic);
      if (resent > 0) registry.add("outrider_events_resent_total", resent, topic);
    }
    registry.observe("outrider_publish_duration_seconds", durationMs / 1000);
    if (events > 0) registry.observe("outrider_batch_events", events);
    if (events > 0 && unknown === 0) registry.set("outrider_broker_up", 1);
  }

  #noteHolder(pid: number, heldMs: number): void {
    this.#holdMs = heldMs;
    this.registry.set("outrider_fence_holder_pid", pid);
  }

  #countFlow() {
    const { registry } = this;
    return {
      polled: (said) => this.#countPoll(said),
      "batch-published": (said) => this.#countBatch(said),
      "batch-removed": ({ events, gone, durationMs }) => {
        registry.add("outrider_events_removed_total", events);
        registry.add("outrider_events_gone_total", gone);
        // Exactly-once deletes along with the next batch and has no time of its own to tell.
        if (durationMs > 0) registry.observe("outrider_remove_duration_seconds", durationMs / 1000);
      },
      "batch-resolved": ({ isCommitted }) =>
        registry.add("outrider_batches_resolved_total", 1, String(isCommitted)),
      "late-events": ({ events }) => registry.add("outrider_late_events_total", events),
      "dispatch-started": ignore,
      "dispatch-finished": ({ skipped }) => {
        registry.add("outrider_dispatch_runs_total", 1);
        registry.add("outrider_dispatch_skipped_total", skipped);
      },
      // Counted when the run ends, with all the others that came meanwhile.
      "dispatch-skipped": ignore,
      "dispatch-missed": ({ ticks }) => registry.add("outrider_dispatch_missed_total", ticks),
      swept: () => registry.add("outrider_sweeps_total", 1),
      "inbox-pruned": ({ rows }) => registry.add("outrider_inbox_pruned_rows_total", rows),
      "inbox-unprunable": ignore,
    } satisfies Partial<Counters>;
  }

  #countTrouble() {
    const { registry } = this;
    return {
      "batch-in-doubt": ({ eventIds }) => registry.add("outrider_events_in_doubt_total", eventIds.length),
      "events-dropped": ({ rejected, unknown }) => {
        registry.add("outrider_events_dropped_total", rejected, "rejected");
        registry.add("outrider_events_dropped_total", unknown, "unknown");
      },
      "outbox-lost": () => this.#noteOutage("outbox"),
      "outbox-back": ({ outageMs }) => this.#noteOutage("outbox", outageMs),
      "broker-lost": () => this.#noteOutage("broker"),
      "broker-back": ({ outageMs }) => this.#noteOutage("broker", outageMs),
      "lease-round-failed": () => registry.add("outrider_lease_rounds_failed_total", 1),
      "aggregate-blocked": ({ reason }) => registry.add("outrider_blocks_total", 1, reason),
      "aggregate-unblocked": () => registry.add("outrider_unblocks_total", 1),
      "event-dead-lettered": ({ reason }) => registry.add("outrider_events_dead_lettered_total", 1, reason),
      "blocked-limit-reached": () => registry.add("outrider_blocked_limit_reached_total", 1),
      "fence-held": ({ pid, heldMs }) => {
        registry.add("outrider_fence_held_total", 1);
        this.#noteHolder(pid ?? -1, heldMs);
      },
      "fence-passed": () => registry.add("outrider_fence_passed_total", 1),
    } satisfies Partial<Counters>;
  }

  #countState() {
    const { registry } = this;
    return {
      "relay-started": () => {
        registry.set("outrider_outbox_up", 1);
        registry.set("outrider_broker_up", 1);
      },
      "relay-stopping": ignore,
      "relay-stopped": ignore,
      "leases-changed": ({ held, members, taken, lost, handedBack }) => {
        registry.set("outrider_leases_held", held);
        registry.set("outrider_members", members);
        registry.add("outrider_leases_changed_total", taken.length, "taken");
        registry.add("outrider_leases_changed_total", lost.length, "lost");
        registry.add("outrider_leases_changed_total", handedBack.length, "handed-back");
      },
      "backlog-counted": ({ events, isMore, oldestAgeMs }) => {
        this.#countedAtMs = this.#clock.monotonicMs();
        this.#oldestAgeMs = oldestAgeMs;
        registry.set("outrider_backlog_events", events);
        registry.set("outrider_backlog_capped", isMore ? 1 : 0);
      },
    } satisfies Partial<Counters>;
  }

  #noteOutage(of: "outbox" | "broker", outageMs?: number): void {
    const isBack = outageMs !== undefined;
    this.registry.set(`outrider_${of}_up`, isBack ? 1 : 0);
    if (isBack) this.registry.add("outrider_outage_duration_seconds_total", outageMs / 1000, of);
    else this.registry.add("outrider_outages_total", 1, of);
  }
}
