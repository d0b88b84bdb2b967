/**
 * The relay: one daemon that publishes what was committed. It refuses to start on a table that cannot
 * be relayed safely, waits for PostgreSQL and Kafka as long as it takes, and stops cleanly.
 *
 *     idle ──start──► starting ──(table fit, broker there)──► running ──stop──► stopping ──► stopped
 *                        └──────────────── stop / refusal / fatal fault ───────────────────────▲
 */

import type { Routing } from "../event/message.ts";
import { OutriderError } from "../foundation/errors.ts";
import type { Lifecycle } from "../foundation/lifecycle.ts";
import type { Fault } from "../outbox/outbox.ts";
import { Outage } from "./outage.ts";
import { PollingPublisher, type RelayLimits, type RelayParts } from "./polling-publisher.ts";

export class Relay implements Lifecycle {
  readonly #parts: RelayParts;
  readonly #limits: RelayLimits;
  readonly #stopping = new AbortController();
  readonly #loop: PollingPublisher;
  #finished: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(parts: RelayParts, limits: RelayLimits, routing: Routing) {
    this.#parts = parts;
    this.#limits = limits;
    this.#loop = new PollingPublisher(parts, limits, routing, this.#stopping.signal);
  }

  /**
   * Resolves when the loop runs, or when `stop` came first.
   * @throws OutriderError OUTBOX_UNFIT, OUTBOX_REFUSED or BROKER_REFUSED: what only a person can repair.
   */
  async start(): Promise<void> {
    if (this.#finished !== undefined || this.#stopping.signal.aborted) return;
    await this.#inspect();
    await this.#loop.connect();
    await this.#parts.shards.start();
    if (this.#stopping.signal.aborted) return;
    this.#parts.announcements.announce({ type: "relay-started" });
    this.#finished = this.#loop.run();
    this.#finished.catch(() => undefined);
  }

  /** Settles when the loop ends: resolved after `stop`, rejected by a fault that needs a restart. */
  async finished(): Promise<void> {
    await this.#finished;
  }

  sweepSoon(): void {
    this.#loop.sweepSoon();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    const { announcements, publisher, outbox, shards } = this.#parts;
    announcements.announce({ type: "relay-stopping" });
    this.#stopping.abort();
    // A fault of the loop is reported by `finished`; stopping goes on all the same.
    await this.#finished?.catch(() => undefined);
    // Only now that nothing is in flight: whoever takes the shards next begins with what is left.
    await shards.stop();
    await publisher.close();
    await outbox.close();
    announcements.announce({ type: "relay-stopped", ...this.#loop.totals });
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
