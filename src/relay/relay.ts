/**
 * The relay: one daemon that publishes what was committed. It refuses to start on a table that cannot
 * be relayed safely, waits for PostgreSQL and Kafka as long as it takes, and stops cleanly.
 *
 *     idle ──start──► starting ──(table fit, broker there)──► running ──stop──► stopping ──► stopped
 *                        └──────────────── stop / refusal / fatal fault ───────────────────────▲
 */

import type { Routing } from "../event/message.ts";
import type { Clock } from "../foundation/clock.ts";
import { OutriderError } from "../foundation/errors.ts";
import type { Lifecycle } from "../foundation/lifecycle.ts";
import type { ShardHolding } from "../lease/lease.ts";
import type { RejectionLedger } from "../outbox/dead-letter-channel.ts";
import type { Fault, Outbox } from "../outbox/outbox.ts";
import type { Announcements } from "./announcements.ts";
import { continuously, type Dispatch } from "./dispatch.ts";
import { FenceWatch } from "./fence-watch.ts";
import type { LineMaker } from "./line.ts";
import { Outage } from "./outage.ts";
import type { ShardLeases } from "./owned-shards.ts";
import { PollingPublisher, type RelayLimits } from "./polling-publisher.ts";
import { SharedPeek } from "./shared-peek.ts";

/** A part of the shards with a loop of its own: its batches wait for no other's. */
export interface Slice {
  /** What its claims are made on. */
  readonly outbox: Outbox;
  readonly holding: ShardHolding;
  readonly makeLine: LineMaker;
}

export interface RelayParts {
  readonly outbox: Outbox;
  readonly ledger: RejectionLedger;
  readonly clock: Clock;
  readonly random: () => number;
  readonly announcements: Announcements;
  readonly shards: ShardLeases;
  /** At least one; together they are all the shards. */
  readonly slices: readonly Slice[];
  /** Says to each loop when to claim; all the time where it is left out. */
  readonly makeDispatch?: () => Dispatch;
  /** Ends what the lines publish with; called when none of them works any more. */
  readonly close: () => Promise<void>;
}

export class Relay implements Lifecycle {
  readonly #parts: RelayParts;
  readonly #limits: RelayLimits;
  readonly #stopping = new AbortController();
  readonly #loops: readonly PollingPublisher[];
  #finished: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(parts: RelayParts, limits: RelayLimits, routing: Routing) {
    this.#parts = parts;
    this.#limits = limits;
    const isShared = parts.slices.length > 1;
    const fenceWatch = new FenceWatch(parts.outbox, limits, parts.announcements, isShared);
    const freshMs = isShared ? limits.pollMaxMs / 2 : 0;
    const peek = new SharedPeek(parts.outbox, parts.clock, limits, freshMs);
    const { signal } = this.#stopping;
    this.#loops = parts.slices.map(
      (slice) =>
        new PollingPublisher(
          { ...parts, ...slice, fenceWatch, peek, dispatch: parts.makeDispatch?.() ?? continuously },
          limits,
          routing,
          signal,
        ),
    );
  }

  /**
   * Resolves when the loop runs, or when `stop` came first.
   * @throws OutriderError OUTBOX_UNFIT, OUTBOX_REFUSED or BROKER_REFUSED: what only a person can repair.
   */
  async start(): Promise<void> {
    if (this.#finished !== undefined || this.#stopping.signal.aborted) return;
    await this.#inspect();
    await Promise.all(this.#loops.map((loop) => loop.connect()));
    await this.#parts.shards.start();
    if (this.#stopping.signal.aborted) return;
    this.#parts.announcements.announce({ type: "relay-started" });
    this.#finished = this.#run();
    this.#finished.catch(() => undefined);
  }

  /** Settles when the loop ends: resolved after `stop`, rejected by a fault that needs a restart. */
  async finished(): Promise<void> {
    await this.#finished;
  }

  /** A fault of one loop ends all of them: half a relay would hold its leases and look alive. */
  async #run(): Promise<void> {
    const runs = this.#loops.map((loop) => loop.run());
    try {
      await Promise.all(runs);
    } catch (error) {
      this.#stopping.abort();
      await Promise.allSettled(runs);
      throw error;
    }
  }

  /** The age of the weakest pulse among the loops; null while none has run. */
  get pulseAgeMs(): number | null {
    const ages = this.#loops.flatMap(({ pulseAgeMs }) => pulseAgeMs ?? []);
    return ages.length === 0 ? null : Math.max(...ages);
  }

  /** Aggregates that wait behind a rejected event, of the shards that are held. */
  get blockedCount(): number {
    return this.#loops.reduce((sum, { blockedCount }) => sum + blockedCount, 0);
  }

  sweepSoon(): void {
    for (const loop of this.#loops) loop.sweepSoon();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    const { announcements, outbox, shards } = this.#parts;
    announcements.announce({ type: "relay-stopping" });
    this.#stopping.abort();
    // A fault of the loop is reported by `finished`; stopping goes on all the same.
    await this.#finished?.catch(() => undefined);
    // Only now that nothing is in flight: whoever takes the shards next begins with what is left.
    await shards.stop();
    await this.#parts.close();
    await outbox.close();
    const totals = this.#loops.map((loop) => loop.totals);
    announcements.announce({
      type: "relay-stopped",
      publishedTotal: totals.reduce((sum, { publishedTotal }) => sum + publishedTotal, 0),
      removedTotal: totals.reduce((sum, { removedTotal }) => sum + removedTotal, 0),
    });
  }

  async #inspect(): Promise<void> {
    const outage = new Outage("outbox", this.#parts, this.#limits);
    while (!this.#stopping.signal.aborted) {
      try {
        const faults = await this.#parts.outbox.inspect();
        outage.end();
        if (faults.length > 0) throw unfit(faults);
        return;
      } catch (error) {
        if (this.#limits.failFast || !(error instanceof OutriderError) || !error.retriable) throw error;
        await outage.wait(error.message, this.#stopping.signal);
      }
    }
  }
}

function unfit(faults: readonly Fault[]): OutriderError {
  const lines = faults.map(({ message, repair }) => `  - ${message}\n    repair: ${repair}`).join("\n");
  return new OutriderError("OUTBOX_UNFIT", `the outbox cannot be relayed safely:\n${lines}`);
}
