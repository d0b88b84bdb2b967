/** Takes looks, folds them into the fence, and names the writers that hold it. */
import type { Micros } from "../event/position.ts";
import {
  type Fence,
  type FenceReading,
  type FenceState,
  type HeldWriter,
  readFence,
  unseen,
} from "../outbox/fence.ts";
import type { Look, Outbox } from "../outbox/outbox.ts";
import type { Announcements } from "./announcements.ts";

export interface FenceTiming {
  /** After so long a writer is passed; Infinity for the policy `strict`. */
  readonly fenceHoldMs: number;
  readonly fenceWarnMs: number;
}

export interface FenceMark {
  readonly fence: Fence;
  /** Nobody was writing whom the relay waits for. */
  readonly isQuiet: boolean;
  /** The database's clock at the look. */
  readonly clock: Micros;
  /** The outbox's mark before the look; null where it cannot be had. */
  readonly outboxMark: string | null;
}

export class FenceWatch {
  readonly #outbox: Outbox;
  readonly #timing: FenceTiming;
  readonly #announcements: Announcements;
  readonly #named = new Set<string>();
  /** Several loops go by it: their looks must not overtake each other. */
  readonly isShared: boolean;
  #state: FenceState = unseen;
  #taking: Promise<FenceMark> | undefined;

  constructor(outbox: Outbox, timing: FenceTiming, announcements: Announcements, isShared = false) {
    this.isShared = isShared;
    this.#outbox = outbox;
    this.#timing = timing;
    this.#announcements = announcements;
  }

  /**
   * One look. The claim that uses the mark must be a later statement. Several loops share it: a look that
   * was begun before it was asked for is only a little lower.
   */
  take(): Promise<FenceMark> {
    this.#taking ??= this.#take().finally(() => {
      this.#taking = undefined;
    });
    return this.#taking;
  }

  async #take(): Promise<FenceMark> {
    return this.note(await this.#outbox.look());
  }

  /** Folds in a look that was taken along with a claim. Only where it is not shared. */
  async note(look: Look): Promise<FenceMark> {
    const reading = readFence(this.#state, look, this.#timing.fenceHoldMs);
    this.#state = reading.state;
    await this.#tell(reading, look.clock);
    return { fence: reading.fence, isQuiet: reading.isQuiet, clock: look.clock, outboxMark: look.mark };
  }

  /** After an outage: virtual transaction ids begin anew when the server does. */
  forget(): void {
    this.#state = unseen;
    this.#named.clear();
  }

  async #tell({ holder, passed, state }: FenceReading, clock: Micros): Promise<void> {
    for (const id of this.#named) if (!state.writers.has(id)) this.#named.delete(id);
    for (const writer of passed) {
      this.#announcements.announce({
        type: "fence-passed",
        pid: writer.pid,
        transaction: writer.id,
        heldMs: heldMs(writer, clock),
      });
    }
    if (
      holder === undefined ||
      this.#named.has(holder.id) ||
      heldMs(holder, clock) < this.#timing.fenceWarnMs
    )
      return;
    this.#named.add(holder.id);
    const [description] = holder.pid === null ? [] : await this.#outbox.describeWriters([holder.pid]);
    this.#announcements.announce({
      type: "fence-held",
      pid: holder.pid,
      application: description?.application ?? "",
      transaction: holder.id,
      heldMs: heldMs(holder, clock),
    });
  }
}

function heldMs(writer: HeldWriter, clock: Micros): number {
  return Math.round((clock - writer.seenSince) / 1000);
}
