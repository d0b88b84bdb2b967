-- Refuses while events are kept here, unless the setting outrider.force_down is on: then they are lost.

-- Row security must not make a full table look empty: with it off, hidden rows are an error.
set local row_security = off;

do $drop$
begin
  if to_regclass('outrider_dead_letters') is not null then
    lock table outrider_dead_letters in access exclusive mode;
    if coalesce(current_setting('outrider.force_down', true), '') <> 'on'
       and exists (select from outrider_dead_letters) then
      raise exception using errcode = 'object_in_use',
        message = 'outrider_dead_letters still holds events that were not published',
        hint = 'redrive or discard them first; with --force (setting outrider.force_down = on) they are lost';
    end if;
    drop table outrider_dead_letters;
  end if;
end
$drop$;

drop table if exists outrider_blocked_aggregates;
