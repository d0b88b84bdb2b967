/** One look and one claim: how much to ask for, from where, and what the answer says about the rest. */
import type { Micros } from "../event/position.ts";
import type { Clock } from "../foundation/clock.ts";
import type { Claim, ClaimLimits, Outbox } from "../outbox/outbox.ts";
import type { Announcements } from "./announcements.ts";
import type { Cursors } from "./cursors.ts";
import type { Dispatch } from "./dispatch.ts";
import type { FenceWatch } from "./fence-watch.ts";
import { eventsToClaim } from "./pace.ts";

export interface ClaimSizes {
  readonly batchEventsMax: number;
  readonly batchBytesMax: number;
  readonly payloadBytesMax: number;
}

export interface ClaimParts {
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly announcements: Announcements;
  readonly fenceWatch: FenceWatch;
  readonly dispatch: Dispatch;
  readonly cursors: Cursors;
}

export interface Claimed extends Claim {
  /** Nothing was found, and nothing was passed over. */
  readonly isAtEnd: boolean;
  /** At the end, and nobody is writing. */
  readonly isQuiet: boolean;
  /** Below it everything was asked for. */
  readonly fence: Micros;
}

export class Claims {
  readonly #parts: ClaimParts;
  readonly #sizes: ClaimSizes;
  #averageBytes = 0;

  constructor(parts: ClaimParts, sizes: ClaimSizes) {
    this.#parts = parts;
    this.#sizes = sizes;
  }

  get limits(): ClaimLimits {
    const { batchEventsMax, batchBytesMax, payloadBytesMax } = this.#sizes;
    const eventsMax = eventsToClaim(this.#averageBytes, batchEventsMax, batchBytesMax);
    return { eventsMax, eventsPerShardMax: eventsMax, bytesMax: batchBytesMax, payloadBytesMax };
  }

  async take(blocked: readonly string[]): Promise<Claimed> {
    const { clock, outbox, announcements, fenceWatch, cursors, dispatch } = this.#parts;
    const startedMs = clock.monotonicMs();
    const mark = await fenceWatch.take();
    const fence = Math.min(mark.fence, dispatch.endFor(mark.clock));
    const { limits } = this;
    const plan = cursors.plan(limits.eventsMax);
    const { eventsPerShardMax } = plan;
    const claim = await outbox.claim({ ...plan, fence, limits: { ...limits, eventsPerShardMax }, blocked });
    if (fence !== Number.NEGATIVE_INFINITY) {
      const late = cursors.advance(plan, claim, fence);
      if (late > 0) announcements.announce({ type: "late-events", events: late });
    }
    const bytes = claim.events.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);
    if (claim.events.length > 0) this.#averageBytes = bytes / claim.events.length;
    announcements.announce({
      type: "polled",
      events: claim.events.length,
      bytes,
      fenceLagMs: (mark.clock - mark.fence) / 1000,
      databaseClockMs: mark.clock / 1000,
      durationMs: clock.monotonicMs() - startedMs,
    });
    const isAtEnd = claim.events.length === 0 && (claim.passed ?? []).length === 0;
    return { ...claim, isAtEnd, isQuiet: isAtEnd && fence === mark.clock, fence };
  }
}
