-- Finer than the shards of 0007: each has 64 slots, and a writer announces those of its aggregates. Beside 16 open
-- transactions with an aggregate each, a fifth of all events share a shard with one of them; one in 250 shares a slot.
--
-- There are 4,096 slots, so that one transaction could fill the server's table of locks. It announces 64 of them; from
-- the next one on it announces "everywhere", once. Which ones it has had stands in a setting of its own, which goes with
-- the transaction or the savepoint as the locks do. Whatever that setting says, the event that is being written
-- is announced: somebody who changes it makes his transaction hold back more, or take more locks.
--
-- What 0007 says about the lock and about created_at holds here.

drop trigger zz_outrider_announce_shard on undispatched_events;
drop function outrider_announce_shard();

create function outrider_announce_slot() returns trigger language plpgsql as $announce$
declare
  class constant int := 1333097588;
  everywhere constant int := 4096;
  slot int := pg_catalog.hashtext(new.aggregate_id) & 4095;
  -- Five digits for each.
  name constant text := (10000 + slot)::text || ',';
  announced constant text := coalesce(pg_catalog.current_setting('outrider.announced_slots', true), '');
  kept text;
begin
  if pg_catalog.strpos(announced, name) = 0 then
    if pg_catalog.length(announced) < 64 * 6 then
      kept := pg_catalog.set_config('outrider.announced_slots', announced || name, true);
    else
      slot := everywhere;
    end if;
  end if;
  if not pg_catalog.pg_try_advisory_xact_lock_shared(class, slot) then
    perform pg_catalog.pg_advisory_xact_lock_shared(class, slot);
  end if;
  if new.created_at between pg_catalog.statement_timestamp() and pg_catalog.clock_timestamp() then
    new.created_at := pg_catalog.clock_timestamp();
  end if;
  return new;
end
$announce$;

comment on function outrider_announce_slot() is
  'Announces to relays which slot of undispatched_events its transaction writes to, and stamps created_at after that.';

create trigger zz_outrider_announce_slot before insert on undispatched_events
  for each row execute function outrider_announce_slot();
alter table undispatched_events enable always trigger zz_outrider_announce_slot;
