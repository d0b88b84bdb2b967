/**
 * Every change of hands of a shard, written down by the lease table itself: a trigger with the
 * database's clock. What relays log arrives milliseconds later and in any order; this does not.
 *
 * Two relays never trust one lease at a time when nobody takes a shard that was not handed back before
 * its expiry: a relay's trust ends a tenth of the TTL before the expiry that its last renewal wrote, and
 * it forgets a shard before it sends the statement that hands it back.
 */
import type pg from "pg";

export const leaseLogTable = `
  create table lease_log (
    shard smallint not null, old_holder text, old_term bigint not null, old_expires_at timestamptz,
    new_holder text, new_term bigint not null, at timestamptz not null default clock_timestamp());
  create function log_lease() returns trigger language plpgsql as $$ begin
    insert into lease_log values (new.shard, old.holder, old.term, old.expires_at, new.holder, new.term);
    return null; end $$;
  create trigger lease_log after update on outrider_shard_leases for each row
    when (old.holder is distinct from new.holder or old.term <> new.term) execute function log_lease();`;

/** Changes of hands that must never be: a shard taken too early, or under a term that is not the next. */
export async function leaseViolations(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ sentence: string }>(`
    select format('shard %s was taken %s before its lease expired', shard, old_expires_at - at) as sentence
      from lease_log
     where old_holder is not null and new_holder is not null and old_holder <> new_holder and at < old_expires_at
    union all
    select format('shard %s went from term %s to %s', shard, old_term, new_term)
      from lease_log where new_holder is not null and new_term <> old_term + 1
    limit 5`);
  return rows.map(({ sentence }) => sentence);
}

/**
 * How long after `fromMs` the last shard of the process `pid` was somebody else's; null while not all
 * are, or when it never had one.
 */
export async function takeoverMs(client: pg.Client, pid: number, fromMs: number): Promise<number | null> {
  const { rows } = await client.query<{ left: number; ms: number | null }>(
    `select (select count(*)::int from outrider_shard_leases where holder like $1) as left,
            (select max(extract(epoch from log.at) * 1000)::float8 from lease_log log
              where log.new_holder is not null and log.new_holder not like $1
                and extract(epoch from log.at) * 1000 > $2
                and exists (select from lease_log before
                             where before.shard = log.shard and before.new_term = log.new_term - 1
                               and before.new_holder like $1)) as ms`,
    [`%-${pid}-%`, fromMs],
  );
  const row = rows[0];
  if (row === undefined || row.left > 0 || row.ms === null) return null;
  return Math.round(row.ms - fromMs);
}

/** How many shards each living process holds, by process id; those that nobody holds under 0. */
export async function shares(client: pg.Client, pids: readonly number[]): Promise<Map<number, number>> {
  const { rows } = await client.query<{ holder: string | null }>("select holder from outrider_shard_leases");
  const held = new Map<number, number>(pids.map((pid) => [pid, 0]));
  for (const { holder } of rows) {
    const pid = pids.find((candidate) => holder?.includes(`-${candidate}-`)) ?? 0;
    held.set(pid, (held.get(pid) ?? 0) + 1);
  }
  return held;
}
