-- The payload parameter had the type of event_payload when the function was made.
drop function if exists outrider_enqueue(text, json, text, text, text, jsonb, uuid);
drop function if exists outrider_enqueue(text, jsonb, text, text, text, jsonb, uuid);
drop function if exists outrider_enqueue(text, bytea, text, text, text, jsonb, uuid);
