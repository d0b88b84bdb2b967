-- outrider_enqueue: the door for applications that only speak SQL.
--
--   select outrider_enqueue('order-17', '{"total": 5}', event_type => 'OrderPlaced');
--
-- Checks what the relay would reject later, while the application can still hear of it (SQLSTATE
-- 22023). Runs with the rights of its caller, and finds its table from any session, because it keeps
-- the search_path of this migration. Its payload parameter has the type of event_payload.

do $create$
declare
  payload_type text;
  new_id text;
begin
  select format_type(atttypid, null) into strict payload_type
    from pg_attribute
   where attrelid = 'undispatched_events'::regclass and attname = 'event_payload';

  -- UUIDv7 begins with the time, so that new ids go to the right edge of the index. From version 18
  -- on PostgreSQL makes them itself. Before, the time replaces the first six bytes of a random UUID,
  -- and two bits turn its version from 4 into 7.
  new_id := case when to_regprocedure('uuidv7()') is not null then 'uuidv7()' else
    'encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing'
    ' substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)'
    ' from 1 for 6), 52, 1), 53, 1), ''hex'')::uuid' end;

  execute replace(replace($function$
create or replace function outrider_enqueue(
  aggregate_id text,
  payload <payload type>,
  event_type text default null,
  aggregate_type text default null,
  topic text default null,
  headers jsonb default null,
  event_id uuid default null
) returns uuid
language plpgsql volatile security invoker
set search_path from current
as $body$
#variable_conflict use_variable
declare
  fault text;
  new_id uuid := coalesce(event_id, <new id>);
begin
  fault := case
    when aggregate_id is null or aggregate_id = ''
      then 'aggregate_id is empty: give the event the id of its aggregate'
    when length(aggregate_id) > 1024
      then 'aggregate_id has ' || length(aggregate_id) || ' characters: at most 1024 are allowed'
    when payload is null
      then 'payload is null: give the event a payload'
    when event_type = ''
      then 'event_type is empty: leave it out, or name the type'
    when aggregate_type = ''
      then 'aggregate_type is empty: leave it out, or name the type'
    when topic !~ '^[a-zA-Z0-9._-]{1,249}$' or topic in ('.', '..')
      then 'topic is no topic name: 1 to 249 of a-z A-Z 0-9 . _ - are allowed'
    when jsonb_typeof(headers) not in ('object', 'null')
      then 'headers must be a JSON object of strings'
  end;
  if fault is null and jsonb_typeof(headers) = 'object' then
    select case when key = '' then 'a header has an empty name: give it one'
                when jsonb_typeof(value) <> 'string'
                then 'header ' || quote_ident(key) || ' is no string: header values must be strings'
                else 'header ' || quote_ident(key) || ' is reserved: the relay writes it' end
      into fault
      from jsonb_each(headers)
     where key = '' or jsonb_typeof(value) <> 'string'
        or key in ('event_id', 'event_type', 'aggregate_type', 'created_at')
     limit 1;
  end if;
  if fault is not null then
    raise exception using errcode = 'invalid_parameter_value', message = 'outrider_enqueue: ' || fault;
  end if;

  insert into undispatched_events (event_id, aggregate_id, event_payload, event_type, aggregate_type, topic, headers)
  values (new_id, aggregate_id, payload, event_type, aggregate_type, topic, nullif(nullif(headers, '{}'), 'null'));
  return new_id;
end
$body$
$function$, '<payload type>', payload_type), '<new id>', new_id);

  execute format('comment on function outrider_enqueue(text, %s, text, text, text, jsonb, uuid) is %L', payload_type,
    'Writes an event into undispatched_events, in the transaction of its caller, and returns its event_id (a new UUIDv7 unless given).');
end
$create$;
