-- Which relay may relay which shards: one row a shard, one row a live relay. Both tables are tiny and
-- updated every few seconds for ever, so half of each page is left free for in-place updates, and
-- vacuum comes early.

create table outrider_shard_leases (
  shard smallint primary key check (shard between 0 and 63),
  holder text,
  term bigint not null default 0,
  expires_at timestamptz
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

comment on table outrider_shard_leases is 'Which relay may relay which shard of undispatched_events.';
comment on column outrider_shard_leases.term is 'The fencing token: grows with every new holding of the shard.';

insert into outrider_shard_leases (shard) select generate_series(0, 63);

create table outrider_members (
  member text primary key,
  expires_at timestamptz not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

comment on table outrider_members is 'The relays that are alive: each renews its row while it runs.';
