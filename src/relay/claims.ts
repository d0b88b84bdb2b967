/** One look and one claim: how much to ask for, from where, and what the answer says about the rest. */
import type { Micros } from "../event/position.ts";
import type { Clock } from "../foundation/clock.ts";
import { capFence, lowestOf } from "../outbox/fence.ts";
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
  /** At the end of everything, and nobody is writing. */
  readonly isQuiet: boolean;
  /** Below it everything was asked for, in every shard. */
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
    const fence = capFence(mark.fence, dispatch.endFor(mark.clock));
    const { limits } = this;
    const plan = cursors.plan(limits.eventsMax, fence);
    const { ranges, eventsPerShardMax } = plan;
    const claim = await outbox.claim({ ranges, limits: { ...limits, eventsPerShardMax }, blocked });
    const late = cursors.advance(plan, claim);
    if (late > 0) announcements.announce({ type: "late-events", events: late });
    const bytes = claim.events.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);
    if (claim.events.length > 0) this.#averageBytes = bytes / claim.events.length;
    announcements.announce({
      type: "polled",
      events: claim.events.length,
      bytes,
      fenceLagMs: (mark.clock - lowestOf(mark.fence)) / 1000,
      databaseClockMs: mark.clock / 1000,
      durationMs: clock.monotonicMs() - startedMs,
    });
    const isAtEnd = claim.events.length === 0 && (claim.passed ?? []).length === 0;
    const isQuiet = isAtEnd && mark.isQuiet && lowestOf(fence) === mark.clock;
    return { ...claim, isAtEnd, isQuiet, fence: lowestOf(fence) };
  }
}
