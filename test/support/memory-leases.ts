/** The lease table as a model that several relays share, with a clock of its own. */
import { allShards } from "../../src/event/shard.ts";
import { OutriderError } from "../../src/foundation/errors.ts";
import type { Leases, Renewal, Term } from "../../src/lease/lease.ts";

interface Row {
  holder: string | null;
  term: number;
  expiresAtMs: number;
}

export class LeaseTable {
  readonly #nowMs: () => number;
  readonly #ttlMs: number;
  readonly rows = new Map<number, Row>(
    allShards.map((shard) => [shard, { holder: null, term: 0, expiresAtMs: 0 }]),
  );
  readonly members = new Map<string, number>();
  isAway = false;

  constructor(nowMs: () => number, ttlMs: number) {
    this.#nowMs = nowMs;
    this.#ttlMs = ttlMs;
  }

  #othersExpireInMs(member: string): number | undefined {
    const lastOf = new Map<string, number>();
    for (const { holder, expiresAtMs } of this.rows.values()) {
      if (holder === null || holder === member || expiresAtMs <= this.#nowMs()) continue;
      lastOf.set(holder, Math.max(lastOf.get(holder) ?? 0, expiresAtMs));
    }
    return lastOf.size === 0 ? undefined : Math.min(...lastOf.values()) - this.#nowMs();
  }

  /** The leases as this member sees them. */
  of(member: string): Leases {
    const answer = () => {
      if (this.isAway) throw new OutriderError("OUTBOX_UNAVAILABLE", "away", { retriable: true });
    };
    const own = ({ shard, term }: Term) => {
      const row = this.rows.get(shard);
      return row?.holder === member && String(row.term) === term ? row : undefined;
    };
    const handBack = async (terms: readonly Term[]) => {
      answer();
      for (const term of terms) Object.assign(own(term) ?? {}, { holder: null });
    };
    return {
      renew: async (held): Promise<Renewal> => {
        answer();
        const expiresAtMs = this.#nowMs() + this.#ttlMs;
        this.members.set(member, expiresAtMs);
        const renewed = held.filter((term) => {
          const row = own(term);
          if (row !== undefined) row.expiresAtMs = expiresAtMs;
          return row !== undefined;
        });
        const alive = [...this.members].flatMap(([name, until]) => (until > this.#nowMs() ? name : []));
        const rank = alive.filter((name) => name < member).length;
        return {
          renewed,
          membersCount: alive.length,
          rank,
          othersExpireInMs: this.#othersExpireInMs(member),
        };
      },
      acquire: async (count, unitShards = 1) => {
        answer();
        const isFree = (row: Row) => row.holder === null || row.expiresAtMs <= this.#nowMs();
        const unitOf = (shard: number) => Math.floor(shard / unitShards);
        const barred = new Set(
          [...this.rows].flatMap(([shard, row]) => (isFree(row) ? [] : [unitOf(shard)])),
        );
        const free = [...this.rows].filter(([shard]) => !barred.has(unitOf(shard)));
        return free.slice(0, count).map(([shard, row]) => {
          Object.assign(row, {
            holder: member,
            term: row.term + 1,
            expiresAtMs: this.#nowMs() + this.#ttlMs,
          });
          return { shard, term: String(row.term) };
        });
      },
      handBack,
      leave: async (terms) => {
        await handBack(terms);
        this.members.delete(member);
      },
      close: async () => undefined,
    };
  }
}
