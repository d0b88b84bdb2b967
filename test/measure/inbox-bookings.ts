/** What the measured consumer does for an event: an entry in a ledger and a new balance, in one statement. */
import type pg from "pg";

export const consumerName = "billing";
export const accountsCount = 1_000;

export interface Booking {
  readonly eventId: string;
  readonly account: number;
  readonly amount: number;
}

/** Nothing here is unique: an effect that is applied twice is there twice, to be counted. */
export const bookingTables = [
  "create table accounts (id integer primary key, balance bigint not null) with (fillfactor = 50)",
  `insert into accounts select n, 0 from generate_series(0, ${accountsCount - 1}) n`,
  "create table ledger (event_id uuid not null, account integer not null, amount integer not null)",
];

/** `$1` event id, `$2` account, `$3` amount. */
export const effectStatement = `with entry as (insert into ledger values ($1::uuid, $2::int, $3::int))
  update accounts set balance = balance + $3::int where id = $2::int`;

export function bookingOf(value: string): Omit<Booking, "eventId"> {
  const { account, amount } = JSON.parse(value) as Booking;
  return { account, amount };
}

export interface Verdict {
  /** Events whose effect is in the ledger exactly once. */
  readonly effects: number;
  /** Events without an effect or with several, effects of nothing, and accounts with another balance. */
  readonly wrong: number;
}

/** Compares ledger and balances with what was sent, each event once. */
export async function judge(client: pg.Client, sent: readonly Booking[]): Promise<Verdict> {
  const { rows } = await client.query<{ event_id: string; count: number }>(
    "select event_id, count(*)::int as count from ledger group by event_id",
  );
  const counts = new Map(rows.map(({ event_id: id, count }) => [id, count]));
  const effects = sent.filter(({ eventId }) => counts.get(eventId) === 1).length;
  const known = new Set(sent.map(({ eventId }) => eventId));
  const strangers = [...counts.keys()].filter((id) => !known.has(id)).length;
  const expected = new Map<number, number>();
  for (const { account, amount } of sent) expected.set(account, (expected.get(account) ?? 0) + amount);
  const balances = await client.query<{ id: number; balance: string }>("select id, balance from accounts");
  const unbalanced = balances.rows.filter(({ id, balance }) => Number(balance) !== (expected.get(id) ?? 0));
  return { effects, wrong: sent.length - effects + strangers + unbalanced.length };
}
