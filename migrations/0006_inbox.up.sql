-- The inbox: which consumer has processed which event. Needs none of the tables before it, because a
-- consumer's database is often another one than the outbox's.
--
-- The key decides whether an event is new, the second index finds what to prune. Measured with 300,000
-- marks (PostgreSQL 18): deleting 5,000 old ones takes 10 ms, and finding that there is nothing to
-- delete 3 buffers, against 86 ms for reading the table. The index costs 22 bytes a mark, beside 57 of the
-- row and 53 of the key. A BRIN index (24 kB) was as quick, but it rests on where rows happen to lie, which
-- refilled space changes, and it cannot give the oldest first.

do $kind$
begin
  if to_regclass('processed_events') is not null then
    raise exception using errcode = 'duplicate_table',
      message = 'there is a processed_events already, and it is not known to be an inbox',
      hint = 'leave the inbox out (outrider migrate --only outbox), install it in another schema (--only inbox --schema), or rename that table';
  end if;
end
$kind$;

create table processed_events (
  consumer text not null check (char_length(consumer) between 1 and 255),
  event_id uuid not null,
  processed_at timestamptz not null default clock_timestamp(),
  primary key (consumer, event_id)
);

create index processed_events_age on processed_events (processed_at);

-- Grows by inserts and shrinks by bulk deletes at its old end. A share of a large table would be too
-- late for the index that pruning reads from that end, and truncation takes an exclusive lock.
alter table processed_events set (
  autovacuum_vacuum_scale_factor = 0.01,
  autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_insert_scale_factor = 0.05,
  vacuum_index_cleanup = on,
  vacuum_truncate = off
);

comment on table processed_events is
  'Idempotent Consumer: a row says that this consumer has processed this event. Written in the transaction of its effects.';
comment on column processed_events.consumer is 'Who processed; the same name in every process of one consumer.';
comment on column processed_events.event_id is 'Deduplication id, end to end.';
comment on column processed_events.processed_at is
  'When the mark was made. Prune only what can no longer be delivered: an event without its mark runs again.';
