-- Back to what 0007 made. Relays see at their next look that nobody announces slots any more, and hold back for
-- every open writer.
do $slots$
begin
  if to_regclass('undispatched_events') is not null then
    drop trigger if exists zz_outrider_announce_slot on undispatched_events;
  end if;
  drop function if exists outrider_announce_slot();
  if to_regclass('undispatched_events') is null then
    return;
  end if;

  create function outrider_announce_shard() returns trigger language plpgsql as $announce$
declare
  class constant int := 1333097587;
  shard constant int := pg_catalog.hashtext(new.aggregate_id) & 63;
begin
  if not pg_catalog.pg_try_advisory_xact_lock_shared(class, shard) then
    perform pg_catalog.pg_advisory_xact_lock_shared(class, shard);
  end if;
  if new.created_at between pg_catalog.statement_timestamp() and pg_catalog.clock_timestamp() then
    new.created_at := pg_catalog.clock_timestamp();
  end if;
  return new;
end
$announce$;

  comment on function outrider_announce_shard() is
    'Announces to relays which shard of undispatched_events its transaction writes to, and stamps created_at after that.';
  create trigger zz_outrider_announce_shard before insert on undispatched_events
    for each row execute function outrider_announce_shard();
  alter table undispatched_events enable always trigger zz_outrider_announce_shard;
end
$slots$;
