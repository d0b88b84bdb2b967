/**
 * Keeps this relay's leases: renews them, takes its fair share, hands surplus back once it is drained,
 * and stops trusting before the database does. Runs beside the loop, so that a slow publish does not
 * cost the leases.
 */
import { shardCount } from "../event/shard.ts";
import type { Clock } from "../foundation/clock.ts";
import { messageOf } from "../foundation/errors.ts";
import type { Lifecycle } from "../foundation/lifecycle.ts";
import {
  fairShare,
  fragmentsOf,
  isTrusted,
  type Lease,
  type Leases,
  type LeaseTiming,
  type Renewal,
  roundPauseMs,
  type ShardHolding,
  surplusOf,
  type Term,
  trustedUntilMs,
} from "./lease.ts";

/** One change of what this relay holds; sums up one round. */
export interface LeaseChange {
  readonly held: number;
  readonly taken: readonly Term[];
  readonly lost: readonly Term[];
  readonly handedBack: readonly Term[];
  readonly membersCount: number;
}

export class LeaseKeeper implements Lifecycle, ShardHolding {
  readonly #leases: Leases;
  readonly #timing: LeaseTiming;
  readonly #clock: Clock;
  readonly #onChange: (change: LeaseChange) => void;
  readonly #onTrouble: (message: string) => void;
  readonly #unitShards: number;
  readonly #stopping = new AbortController();
  readonly #held = new Map<number, Lease>();
  /** Shards above the share, waiting until nothing of them is in flight. */
  readonly #surplus = new Set<number>();
  #claimable: ReadonlySet<number> = new Set();
  #claimableTerms = "";
  #claimableUntilMs = 0;
  #standing: Pick<Renewal, "membersCount" | "rank"> = { membersCount: 1, rank: 0 };
  #othersExpireInMs: number | undefined;
  #running: Promise<void> | undefined;

  /** `unitShards`: how many shards are leased together, as one. */
  constructor(
    leases: Leases,
    timing: LeaseTiming,
    clock: Clock,
    onChange: (change: LeaseChange) => void,
    onTrouble: (message: string) => void,
    unitShards = 1,
  ) {
    this.#leases = leases;
    this.#timing = timing;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#onTrouble = onTrouble;
    this.#unitShards = unitShards;
  }

  /** Resolves after the first round; a database that is away is tried again at the next. */
  async start(): Promise<void> {
    if (this.#running !== undefined || this.#stopping.signal.aborted) return;
    const first = this.round();
    // A stop waits for the first round, too: what that one takes has to be handed back.
    this.#running = first.then(() => this.#run());
    await first;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#clock.sleep(roundPauseMs(this.#timing, this.#othersExpireInMs), signal);
      if (!signal.aborted) await this.round();
    }
  }

  /** Hands everything back at once. Call it when nothing is in flight any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    const terms = [...this.#held.values()];
    this.#held.clear();
    this.#refresh();
    // What cannot be handed back now expires by itself.
    await this.#leases.leave(terms).catch(() => undefined);
    await this.#leases.close();
  }

  claimable(): ReadonlySet<number> {
    if (this.#clock.monotonicMs() >= this.#claimableUntilMs) this.#refresh();
    return this.#claimable;
  }

  mayPublish(shard: number): boolean {
    const lease = this.#held.get(shard);
    return lease !== undefined && isTrusted(lease, this.#clock.monotonicMs());
  }

  termOf(shard: number): string | undefined {
    return this.#held.get(shard)?.term;
  }

  async handBackDrained(inUse: ReadonlySet<number>): Promise<void> {
    const drained = [...this.#surplus].filter((shard) => !inUse.has(shard));
    const handedBack = drained.flatMap((shard) => this.#held.get(shard) ?? []);
    if (handedBack.length === 0) return;
    for (const { shard } of handedBack) this.#forget(shard);
    await this.#leases.handBack(handedBack).catch((error) => this.#onTrouble(messageOf(error)));
    this.#tell({ handedBack });
  }

  /** One round with the database: renew, then take or give up what the fair share says. */
  async round(): Promise<void> {
    try {
      const lost = await this.#renew();
      const share = fairShare(shardCount, this.#standing, this.#unitShards);
      const wanted = share - this.#whole().length;
      const taken = wanted > 0 ? await this.#acquire(wanted) : [];
      this.#surplus.clear();
      for (const shard of surplusOf(this.#whole(), share)) this.#surplus.add(shard);
      for (const shard of fragmentsOf([...this.#held.keys()], this.#unitShards)) this.#surplus.add(shard);
      if (taken.length > 0 || lost.length > 0) this.#tell({ taken, lost });
    } catch (error) {
      this.#onTrouble(messageOf(error));
    }
    this.#refresh();
  }

  /** The shards held in whole units. */
  #whole(): readonly number[] {
    const held = [...this.#held.keys()];
    const fragments = new Set(fragmentsOf(held, this.#unitShards));
    return held.filter((shard) => !fragments.has(shard));
  }

  async #renew(): Promise<readonly Term[]> {
    const sentAtMs = this.#clock.monotonicMs();
    const asked = [...this.#held.values()];
    this.#othersExpireInMs = undefined;
    const { renewed, membersCount, rank, othersExpireInMs } = await this.#leases.renew(asked);
    this.#standing = { membersCount, rank };
    this.#othersExpireInMs = othersExpireInMs;
    this.#trust(renewed, sentAtMs);
    const still = new Set(renewed.map(({ shard }) => shard));
    const lost = asked.filter(({ shard }) => !still.has(shard) && this.#held.has(shard));
    for (const { shard } of lost) this.#forget(shard);
    return lost;
  }

  async #acquire(count: number): Promise<readonly Term[]> {
    const sentAtMs = this.#clock.monotonicMs();
    const taken = await this.#leases.acquire(count, this.#unitShards);
    this.#trust(taken, sentAtMs, true);
    return taken;
  }

  /** A shard that was handed back while its renewal was under way does not come back to life. */
  #trust(terms: readonly Term[], sentAtMs: number, isNew = false): void {
    for (const { shard, term } of terms) {
      if (!isNew && this.#held.get(shard)?.term !== term) continue;
      this.#held.set(shard, {
        shard,
        term,
        trustedUntilMs: trustedUntilMs(sentAtMs, this.#timing.leaseTtlMs),
      });
    }
  }

  #forget(shard: number): void {
    this.#held.delete(shard);
    this.#surplus.delete(shard);
  }

  /** Works out the claimable shards anew; keeps the old set where nothing changed. */
  #refresh(): void {
    const nowMs = this.#clock.monotonicMs();
    const trusted = [...this.#held.values()].filter(
      (lease) => isTrusted(lease, nowMs) && !this.#surplus.has(lease.shard),
    );
    this.#claimableUntilMs = Math.min(
      ...trusted.map((lease) => lease.trustedUntilMs),
      Number.POSITIVE_INFINITY,
    );
    const terms = trusted
      .map(({ shard, term }) => `${shard}:${term}`)
      .sort()
      .join();
    // Another term is another holding, even of the same shards: somebody else may have had them between.
    if (terms !== this.#claimableTerms) this.#claimable = new Set(trusted.map(({ shard }) => shard));
    this.#claimableTerms = terms;
  }

  #tell({ taken = [], lost = [], handedBack = [] }: Partial<LeaseChange>): void {
    const { membersCount } = this.#standing;
    this.#onChange({ held: this.#held.size, taken, lost, handedBack, membersCount });
  }
}
