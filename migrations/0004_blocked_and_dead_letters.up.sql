-- What the broker would not have. Two tables beside the outbox, which itself knows only INSERT and
-- DELETE: a retry counter on the event's own row would be a dead row version at every attempt.
--
-- Both are keyed by event_id. The aggregate_id would say more, but an aggregate_id has no limit where
-- applications insert by themselves, and a btree refuses a key of more than 2,704 bytes: the very
-- event that is refused for its aggregate_id could then not be written down.

create table outrider_blocked_aggregates (
  event_id uuid primary key,
  aggregate_id text not null,
  shard smallint not null,
  created_at timestamptz not null,
  seq bigint not null,
  reason text not null,
  message text not null,
  attempts integer not null check (attempts > 0),
  blocked_at timestamptz not null default clock_timestamp(),
  retried_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

comment on table outrider_blocked_aggregates is
  'Aggregates that wait behind an event the broker rejected, and how often it was tried. The relay writes it; deleting a row only makes it count anew.';
comment on column outrider_blocked_aggregates.event_id is 'The rejected event. It stays in undispatched_events.';
comment on column outrider_blocked_aggregates.message is 'Why, for a person; never a part of the payload.';
comment on column outrider_blocked_aggregates.blocked_at is 'When this event was rejected for the first time.';
comment on column outrider_blocked_aggregates.retried_at is 'When it was rejected last.';

do $letters$
declare
  payload_type text;
  headers_type text;
begin
  -- A payload must come back from here as it went in, so the column has the outbox's own type.
  select max(format_type(atttypid, null)) filter (where attname = 'event_payload'),
         max(format_type(atttypid, null)) filter (where attname = 'headers')
    into strict payload_type, headers_type
    from pg_attribute
   where attrelid = 'undispatched_events'::regclass and not attisdropped;

  execute format('create table outrider_dead_letters (
    event_id uuid primary key,
    aggregate_id text not null,
    created_at timestamptz not null,
    event_payload %s not null,
    seq bigint not null,
    event_type text,
    aggregate_type text,
    topic text,
    headers %s,
    reason text not null,
    message text not null,
    attempts integer not null check (attempts > 0),
    dead_at timestamptz not null default clock_timestamp()
  )', payload_type, headers_type);
end
$letters$;

create index outrider_dead_letters_order on outrider_dead_letters (created_at, seq, event_id);
-- A hash has no limit for the length of what it stands for.
create index outrider_dead_letters_aggregate on outrider_dead_letters using hash (aggregate_id);

comment on table outrider_dead_letters is
  'Events that the relay gave up on (policy dead-letter). Put them back with outrider dead-letters redrive.';
comment on column outrider_dead_letters.created_at is
  'First half of the position that the event had; redriven, it gets a new one.';
comment on column outrider_dead_letters.seq is 'Second half of the position that the event had.';
comment on column outrider_dead_letters.message is 'Why, for a person; never a part of the payload.';
