/**
 * The shards that the loop works on: follows the leases, but changes only when nothing is in flight,
 * and never forgets that an event of a shard was left out.
 */
import type { Lifecycle } from "../foundation/lifecycle.ts";
import type { ShardHolding } from "../lease/lease.ts";

/** The leases as the relay runs them: it starts and stops them, too. */
export type ShardLeases = ShardHolding & Lifecycle;

export class OwnedShards {
  readonly #leases: ShardHolding;
  /** None before the first round. */
  #shards: ReadonlySet<number> = new Set();
  /** Shards of which a claimed event was not published, for want of trust. */
  readonly #abandoned = new Set<number>();

  constructor(leases: ShardHolding) {
    this.#leases = leases;
  }

  get size(): number {
    return this.#shards.size;
  }

  /** True while the leases say something else than what the loop works on. */
  isStale(): boolean {
    return this.#leases.claimable() !== this.#shards || this.#abandoned.size > 0;
  }

  /**
   * Once an event of a shard was left out because the lease was not trusted, so are all that were
   * claimed after it, even should the lease be renewed meanwhile: they would overtake it.
   */
  mayPublish = (shard: number): boolean => {
    if (!this.#leases.mayPublish(shard)) this.#abandoned.add(shard);
    return !this.#abandoned.has(shard);
  };

  /** Every shard that we work on went to somebody else: none of them goes on where it is. */
  abandon = (): void => {
    for (const shard of this.#shards) this.#abandoned.add(shard);
  };

  /** They are not ours after all; the next look at the leases may say something else. */
  drop(): void {
    this.#shards = new Set();
  }

  /**
   * Takes up the shards that are ours now. Call it when nothing is in flight: a shard that comes back
   * must not be claimed beside its own unfinished batch, and one that goes must be drained.
   * Returns those that go on where they were, and all; the rest of them begin anew.
   */
  take(): { readonly kept: ReadonlySet<number>; readonly all: ReadonlySet<number> } {
    const all = this.#leases.claimable();
    const kept = new Set([...all].filter((shard) => this.#shards.has(shard) && !this.#abandoned.has(shard)));
    this.#abandoned.clear();
    this.#shards = all;
    return { kept, all };
  }

  /** Hands back what nobody works on any more. */
  handBack(): Promise<void> {
    return this.#leases.handBackDrained(this.#shards);
  }
}
