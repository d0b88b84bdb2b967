/**
 * One look and one claim: how much to ask for, from where, and what the answer says about the rest.
 *
 * The claim needs the fence, and the fence needs the look. But where the fence lay close to the clock the last
 * time, it will again, and next to nothing stands above it: then both go in one message, the claim without a
 * fence, and what it brought from above is dropped here. It saves a round trip of two at every poll. Slots that are held
 * back are no reason against it: of them, too, next to nothing is there.
 */
import type { Micros } from "../event/position.ts";
import type { Clock } from "../foundation/clock.ts";
import { belowOpen, capFence, type Fence, fenceAt, lowestOf } from "../outbox/fence.ts";
import type { Claim, ClaimLimits, ClaimRequest, Outbox } from "../outbox/outbox.ts";
import type { Announcements } from "./announcements.ts";
import type { ClaimPlan } from "./claim-plan.ts";
import type { Cursors } from "./cursors.ts";
import type { Dispatch } from "./dispatch.ts";
import type { FenceMark, FenceWatch } from "./fence-watch.ts";
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
  /** At the end, and whoever is writing began a moment ago: what it commits is near. */
  readonly isAwaited: boolean;
  /** The outbox's mark before the look; null where it cannot be had. */
  readonly outboxMark: string | null;
  /** Below it everything was asked for, in every shard. */
  readonly fence: Micros;
}

/** So far behind the clock may the fence lie for a claim that does not know it: what is read in vain is that much. */
const nearMs = 20;

/** What was claimed, and what by. */
interface Taken {
  readonly mark: FenceMark;
  readonly fence: Fence;
  readonly plan: ClaimPlan;
  readonly claim: Claim;
}

export class Claims {
  readonly #parts: ClaimParts;
  readonly #sizes: ClaimSizes;
  #averageBytes = 0;
  /** How far behind the clock the fence lay at the last look, but for slots that were held back. */
  #openLagMs = Number.POSITIVE_INFINITY;
  /** The slots that were held back at the last look: they are not asked for before the next one. */
  #held: Fence["held"] = new Map();

  constructor(parts: ClaimParts, sizes: ClaimSizes) {
    this.#parts = parts;
    this.#sizes = sizes;
  }

  get limits(): ClaimLimits {
    const { batchEventsMax, batchBytesMax, payloadBytesMax } = this.#sizes;
    const eventsMax = eventsToClaim(this.#averageBytes, batchEventsMax, batchBytesMax);
    return { eventsMax, eventsPerShardMax: eventsMax, bytesMax: batchBytesMax, payloadBytesMax };
  }

  /** `unchanged`: the mark of the outbox is still `since`, and so nothing was claimed; see `Outbox.lookAndClaim`. */
  async take(blocked: readonly string[], since: string | null): Promise<Claimed | "unchanged"> {
    const { clock, announcements, cursors } = this.#parts;
    const startedMs = clock.monotonicMs();
    const taken = (await this.#inOne(blocked, since)) ?? (await this.#inTwo(blocked));
    if (taken === "unchanged") return taken;
    const { mark, fence, plan, claim } = taken;
    const lagMs = (mark.clock - lowestOf(mark.fence)) / 1000;
    this.#openLagMs = (mark.clock - mark.fence.open) / 1000;
    this.#held = fence.held;
    const { events, late, isBounded, isBehind } = cursors.advance(plan, claim, fence);
    if (late > 0) announcements.announce({ type: "late-events", events: late });
    const bytes = events.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);
    if (events.length > 0) this.#averageBytes = bytes / events.length;
    announcements.announce({
      type: "polled",
      events: events.length,
      bytes,
      fenceLagMs: lagMs,
      databaseClockMs: mark.clock / 1000,
      durationMs: clock.monotonicMs() - startedMs,
    });
    const isNothingThere = claim.events.length === 0 && (claim.passed ?? []).length === 0;
    const isAtEnd = isNothingThere && !isBounded && !isBehind;
    const isQuiet = isAtEnd && mark.isQuiet && lowestOf(fence) === mark.clock;
    const isAwaited = isAtEnd && !mark.isQuiet && lagMs <= nearMs;
    const isCut = claim.isCut || isBounded || isBehind;
    const { outboxMark } = mark;
    return { events, isCut, isAtEnd, isQuiet, isAwaited, outboxMark, fence: lowestOf(fence) };
  }

  async #inTwo(blocked: readonly string[]): Promise<Taken> {
    return this.#below(await this.#parts.fenceWatch.take(), blocked);
  }

  async #below(mark: FenceMark, blocked: readonly string[]): Promise<Taken> {
    const fence = capFence(mark.fence, this.#parts.dispatch.endFor(mark.clock));
    const plan = this.#parts.cursors.plan(this.limits.eventsMax, fence);
    return { mark, fence, plan, claim: await this.#parts.outbox.claim(this.#requestOf(plan, blocked)) };
  }

  /** Undefined where it takes two: nothing was taken then. */
  async #inOne(blocked: readonly string[], since: string | null): Promise<Taken | "unchanged" | undefined> {
    const { outbox, fenceWatch, cursors, dispatch } = this.#parts;
    if (fenceWatch.isShared || blocked.length > 0 || this.#openLagMs > nearMs) return undefined;
    const { eventsMax } = this.limits;
    const plan = cursors.plan(eventsMax, { ...fenceAt(Number.POSITIVE_INFINITY), held: this.#held });
    const both = await outbox.lookAndClaim(this.#requestOf(plan, blocked), since);
    if (both === null) return undefined;
    if (both === "unchanged") return both;
    const mark = await fenceWatch.note(both.look);
    const fence = capFence(mark.fence, dispatch.endFor(mark.clock));
    const claim = belowOpen(both.claim, fence);
    if (claim === undefined) return this.#below(mark, blocked);
    return { mark, fence, plan, claim };
  }

  #requestOf({ ranges, eventsPerShardMax }: ClaimPlan, blocked: readonly string[]): ClaimRequest {
    return { ranges, limits: { ...this.limits, eventsPerShardMax }, blocked };
  }
}
