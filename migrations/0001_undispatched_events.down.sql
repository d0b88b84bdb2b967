-- Drops the outbox, also one that was adopted. Refuses while events wait in it, unless the setting
-- outrider.force_down is on: then they are lost.

-- Row security must not make a full table look empty: with it off, hidden rows are an error.
set local row_security = off;

do $drop$
begin
  if to_regclass('undispatched_events') is null then
    return;
  end if;
  lock table undispatched_events in access exclusive mode;
  if coalesce(current_setting('outrider.force_down', true), '') <> 'on'
     and exists (select from undispatched_events) then
    raise exception using errcode = 'object_in_use',
      message = 'undispatched_events still holds events that were not published',
      hint = 'let the relay publish them first; with --force (setting outrider.force_down = on) they are lost';
  end if;
  drop table undispatched_events;
end
$drop$;
