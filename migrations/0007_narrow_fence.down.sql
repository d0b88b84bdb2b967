-- Relays see at their next look that nobody announces any more, and hold back for every open writer again.
do $narrow$
begin
  if to_regclass('undispatched_events') is not null then
    drop trigger if exists zz_outrider_announce_shard on undispatched_events;
  end if;
  drop function if exists outrider_announce_shard();
end
$narrow$;
