-- What a relay is about to publish, written down before it does: for the delivery modes that must know,
-- after a crash, what became of the last batch. One row a shard group, eight shards each.

create table outrider_batch_intents (
  shard_group smallint primary key check (shard_group between 0 and 7),
  term bigint not null default 0,
  number bigint not null default 0,
  delivery text,
  event_ids uuid[],
  written_at timestamptz not null default clock_timestamp()
) with (
  fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200,
  toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000
);

-- The ids are random bytes: compressing them is work for nothing.
alter table outrider_batch_intents alter column event_ids set storage external;

comment on table outrider_batch_intents is
  'The last batch of each shard group under exactly-once and at-most-once delivery. Never edit it by hand.';
comment on column outrider_batch_intents.term is
  'The fencing token of the relay that writes here: a relay with a lower one can change nothing.';
comment on column outrider_batch_intents.number is 'The number of the last batch; grows, never comes twice.';
comment on column outrider_batch_intents.event_ids is
  'The events of the batch while its fate is not settled; null when it is.';

insert into outrider_batch_intents (shard_group) select generate_series(0, 7);

-- Tells this outbox from every other one that publishes to the same Kafka cluster.
create table outrider_identity (
  only_one boolean primary key default true check (only_one),
  outbox_id uuid not null default gen_random_uuid()
);

comment on table outrider_identity is
  'Names this outbox in Kafka (transactional.id and progress group). A copy of the database that is to publish to the same cluster needs a new one: update outrider_identity set outbox_id = gen_random_uuid().';

insert into outrider_identity default values;
