-- Refuses while marks are kept here, unless the setting outrider.force_down is on: without its mark, an
-- event that is delivered again is processed again.

-- Row security must not make a full table look empty: with it off, hidden rows are an error.
set local row_security = off;

do $drop$
begin
  if to_regclass('processed_events') is null then
    return;
  end if;
  lock table processed_events in access exclusive mode;
  if coalesce(current_setting('outrider.force_down', true), '') <> 'on'
     and exists (select from processed_events) then
    raise exception using errcode = 'object_in_use',
      message = 'processed_events still holds marks of processed events: what is delivered again would be processed again',
      hint = 'delete the marks once nothing can be delivered again; with --force (setting outrider.force_down = on) they are lost';
  end if;
  drop table processed_events;
end
$drop$;
