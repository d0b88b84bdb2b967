/**
 * Leases: which relay may relay which shards. Many relays run beside one outbox; each shard belongs
 * to one of them at a time, so that events are published once and not once a relay. (Order does not
 * rest on this: the four rules in `relay/lanes.ts` keep it even when two relays hold one shard. What
 * a broken lease costs is duplicates.)
 *
 * A lease is one row a shard in `outrider_shard_leases`: holder, term, expiry. Only the database's
 * clock decides who may take a shard; no relay's clock is ever compared with another's.
 *
 *              acquire (free or expired; term + 1)
 *     ┌──────┐ ───────────────────────────────► ┌──────┐ ──renew (names holder and term)──┐
 *     │ free │                                  │ held │ ◄─────────────────────────────────┘
 *     └──────┘ ◄─────────────────────────────── └──────┘
 *         ▲     hand back (names the term)          │
 *         │                                         │ no renewal for the TTL
 *         │                                         ▼
 *         └───────────────────────────────── ┌─────────┐
 *           (another relay acquires: term+1) │ expired │
 *                                            └─────────┘
 *
 * Term. Every holding of a shard has its own number, larger than all before it: the fencing token.
 * Every statement about a lease names the exact term, so a relay that slept through its own expiry
 * and wakes up later cannot renew or hand back what has become somebody else's.
 *
 * Trust window. A relay believes in its lease for a shorter time than the database does:
 *
 *     sent the renewal ── TTL − margin ──► no longer trusted     (this relay's monotonic clock)
 *           database saw it ──────────── TTL ────────────► expired    (the database's clock)
 *
 * The window starts when the statement was *sent*, which is before the database can have carried it
 * out; the margin allows for clocks that run at different speeds. A relay that could not renew (the
 * database is away, it was stopped with SIGSTOP, the network swallows its packets) stops claiming and
 * publishing by itself before anyone else can start. A send that is already under way when the window
 * ends is not called back; that is the one overlap that is left, and it can only double, not reorder.
 *
 * Share. With n live relays nobody keeps more than ⌈64 / n⌉ shards. Surplus is handed back only when
 * nothing of it is in flight. Relays count as live while their own row in `outrider_members` has not
 * expired; it is renewed in the same statement as the leases.
 *
 * Unit. Where a batch belongs to a whole group of shards, a group is leased as one: its shards are taken in
 * one statement or not at all, and what is left of a group that lost a shard is handed back.
 *
 * Failures. `kill -9`: the rows expire, the others look again at that very moment and take the shards. A clean
 * stop hands everything back at once. PostgreSQL away: nobody can take anything either; when it is
 * back, a relay goes on with those terms that nobody has taken, expired or not.
 */

/** One holding of one shard, as the database knows it. */
export interface Term {
  readonly shard: number;
  /** The fencing token, a bigint as decimal text: larger than that of every earlier holding. */
  readonly term: string;
}

/** A term and how long this relay believes in it. */
export interface Lease extends Term {
  /** On this relay's monotonic clock. */
  readonly trustedUntilMs: number;
}

export interface LeaseTiming {
  /** How long the database keeps a shard for a holder that does not renew. */
  readonly leaseTtlMs: number;
  readonly leaseRenewMs: number;
}

/** What one renewal brought. */
export interface Renewal {
  /** Terms that are still ours. */
  readonly renewed: readonly Term[];
  /** Live relays, this one included. */
  readonly membersCount: number;
  /** How many of them come before this one by name: who is the same for all decides who gets what does not divide. */
  readonly rank: number;
  /**
   * In how many milliseconds, from the answer on at the latest, the leases of some other relay expire
   * unless it renews them. Undefined when there is no other, or when nobody can tell.
   */
  readonly othersExpireInMs?: number | undefined;
}

/**
 * How long until the next round. A relay that died is replaced when its leases expire, not at whatever
 * round comes after that: with a renewal every few seconds that would be seconds of silence.
 */
export function roundPauseMs({ leaseRenewMs }: LeaseTiming, othersExpireInMs: number | undefined): number {
  if (othersExpireInMs === undefined) return leaseRenewMs;
  return Math.min(leaseRenewMs, Math.max(othersExpireInMs, leaseRenewMs / 10));
}

/** The end of trust for a statement that was sent at `sentAtMs`: a tenth of the TTL is the margin. */
export function trustedUntilMs(sentAtMs: number, leaseTtlMs: number): number {
  return sentAtMs + leaseTtlMs - leaseTtlMs / 10;
}

export function isTrusted(lease: Lease, nowMs: number): boolean {
  return nowMs < lease.trustedUntilMs;
}

/**
 * Most shards that one of so many relays keeps, in whole units. Together the shares are all shards, exactly: were
 * they rounded up instead, two of three relays would keep two of four units each, and the third none.
 */
export function fairShare(
  shardCount: number,
  { membersCount, rank }: Pick<Renewal, "membersCount" | "rank">,
  unitShards = 1,
): number {
  const units = shardCount / unitShards;
  const whole = Math.floor(units / membersCount);
  return (whole + (rank < units % membersCount ? 1 : 0)) * unitShards;
}

/** The shards of units that are not held whole: nothing can be done with them. */
export function fragmentsOf(held: readonly number[], unitShards: number): number[] {
  const counts = new Map<number, number>();
  const unitOf = (shard: number) => Math.floor(shard / unitShards);
  for (const shard of held) counts.set(unitOf(shard), (counts.get(unitOf(shard)) ?? 0) + 1);
  return held.filter((shard) => counts.get(unitOf(shard)) !== unitShards);
}

/** The shards above the fair share: the highest numbers, so that the choice is the same every time. */
export function surplusOf(held: readonly number[], share: number): number[] {
  return [...held].sort((a, b) => a - b).slice(share);
}

/**
 * The leases as a port. Every call is one statement in a transaction of its own and names this relay
 * and the exact terms. Throws OUTBOX_UNAVAILABLE (retriable) when PostgreSQL is away.
 */
export interface Leases {
  /** Says that this relay is alive, and renews these terms: those that are missing from the answer are lost. */
  renew(held: readonly Term[]): Promise<Renewal>;
  /**
   * Takes up to so many shards that are free or expired, each with a new term. With `unitShards`, whole
   * units only: so many shards in a row, the first of them a multiple of it; `count` is then one as well.
   */
  acquire(count: number, unitShards?: number): Promise<readonly Term[]>;
  /** Gives these terms up; those that are no longer ours are left alone. */
  handBack(terms: readonly Term[]): Promise<void>;
  /** Gives these terms up and leaves the members, so that the others share at once. */
  leave(terms: readonly Term[]): Promise<void>;
  close(): Promise<void>;
}

/** What the relay's loop asks about its shards. */
export interface ShardHolding {
  /** The shards to claim from: trusted and not being handed back. The same object while nothing changed. */
  claimable(): ReadonlySet<number>;
  /** Whether events of this shard may be published now; true also while a shard is being handed back. */
  mayPublish(shard: number): boolean;
  /** The fencing token under which this shard is held; undefined when it is not. */
  termOf(shard: number): string | undefined;
  /** Says that nothing is in flight but of the shards `inUse`: any other surplus can go. Never throws. */
  handBackDrained(inUse: ReadonlySet<number>): Promise<void>;
}
