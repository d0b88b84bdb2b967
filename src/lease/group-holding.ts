/** The leases as one shard group sees them: its shards, all of them or none. */
import { allShards, shardsOf } from "../event/shard.ts";
import type { ShardHolding } from "./lease.ts";

const none: ReadonlySet<number> = new Set();

export class GroupHolding implements ShardHolding {
  readonly #leases: ShardHolding;
  readonly #shards: readonly number[];
  readonly #others: readonly number[];
  /** What the leases said last, and what that means here. */
  #seen: ReadonlySet<number> = none;
  #claimable: ReadonlySet<number> = none;
  #terms = "";

  constructor(leases: ShardHolding, group: number) {
    this.#leases = leases;
    this.#shards = shardsOf(group);
    const own = new Set(this.#shards);
    this.#others = allShards.filter((shard) => !own.has(shard));
  }

  claimable(): ReadonlySet<number> {
    const seen = this.#leases.claimable();
    if (seen === this.#seen) return this.#claimable;
    this.#seen = seen;
    const isWhole = this.#shards.every((shard) => seen.has(shard));
    const terms = isWhole ? this.#shards.map((shard) => this.#leases.termOf(shard)).join() : "";
    if (terms !== this.#terms) this.#claimable = isWhole ? new Set(this.#shards) : none;
    this.#terms = terms;
    return this.#claimable;
  }

  mayPublish(shard: number): boolean {
    return this.#leases.mayPublish(shard);
  }

  termOf(shard: number): string | undefined {
    return this.#leases.termOf(shard);
  }

  /** Says nothing of other groups: theirs may well be in flight. */
  handBackDrained(inUse: ReadonlySet<number>): Promise<void> {
    return this.#leases.handBackDrained(new Set([...this.#others, ...inUse]));
  }
}
