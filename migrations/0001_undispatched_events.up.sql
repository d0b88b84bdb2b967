-- The outbox: undispatched_events, in the first schema of search_path.
--
-- A new table begins with the four columns of the pattern and is then treated like the table of an
-- application that has one already: what is missing is added, and no row is lost. What cannot be
-- adopted is an error that names every fault with its repair. Run it in one transaction, so that an
-- error leaves nothing behind. Running it again changes nothing.
--
-- Settings that it reads, if they are set for the transaction:
--   outrider.payload_type   json, jsonb or bytea. Unset: an existing column keeps its type, and text
--                           becomes json.
--   timezone                how a created_at without a time zone is understood.
--
-- Order. An event stands at (created_at, seq) in the order of its aggregate. Adopted rows keep the
-- order of their created_at. Among adopted rows with equal created_at, seq follows the place in the
-- table, which is the order of insertion as long as no space of deleted rows was filled again.

-- A synchronized scan may begin in the middle of the table, and seq would then begin there too.
set local synchronize_seqscans = off;

create table if not exists undispatched_events (
  event_id uuid,
  aggregate_id text,
  created_at timestamptz,
  event_payload json
);

do $kind$
declare
  found record;
  reason text;
  repair text;
begin
  select c.relkind, c.relpersistence,
         c.relispartition or exists (
           select from pg_inherits i where c.oid in (i.inhrelid, i.inhparent)) as is_relative
    into strict found
    from pg_class c
   where c.oid = 'undispatched_events'::regclass;

  if found.relkind <> 'r' then
    reason := case found.relkind
      when 'v' then 'it is a view'
      when 'm' then 'it is a materialized view'
      when 'p' then 'it is a partitioned table'
      when 'f' then 'it is a foreign table'
      else 'it is no table' end;
    repair := 'rename it, or choose another schema: a plain table is needed';
  elsif found.relpersistence <> 'p' then
    reason := 'it is UNLOGGED, and PostgreSQL empties such a table after a crash';
    repair := 'alter table undispatched_events set logged';
  elsif found.is_relative then
    reason := 'it is a partition, or takes part in table inheritance';
    repair := 'rename it, or choose another schema: a plain table is needed';
  end if;
  if reason is not null then
    raise exception using errcode = 'object_not_in_prerequisite_state',
      message = 'undispatched_events cannot be the outbox: ' || reason, hint = repair;
  end if;
end
$kind$;

-- From here on no writer can change what the checks have seen.
lock table undispatched_events in access exclusive mode;

do $columns$
declare
  faults text;
  repairs text;
begin
  select string_agg(fault, '; ' order by place), string_agg(repair, '; ' order by place)
    into faults, repairs
    from (values
           (1,  'event_id',       true,  array['uuid']),
           (2,  'aggregate_id',   true,  array['text', 'character varying', 'uuid']),
           (3,  'created_at',     true,  array['timestamp with time zone', 'timestamp without time zone']),
           (4,  'event_payload',  true,  array['json', 'jsonb', 'bytea', 'text', 'character varying']),
           (5,  'seq',            false, array['bigint']),
           (6,  'event_type',     false, array['text', 'character varying']),
           (7,  'aggregate_type', false, array['text', 'character varying']),
           (8,  'topic',          false, array['text', 'character varying']),
           (9,  'headers',        false, array['jsonb', 'json']),
           (10, 'shard',          false, array['smallint'])
         ) as expected (place, name, is_required, types)
    left join pg_attribute a on a.attrelid = 'undispatched_events'::regclass
          and a.attname = name and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   cross join lateral (
     select case
       when a.attname is null and is_required
         then format('column %s is missing', name)
       when format_type(a.atttypid, null) <> all (types)
         then format('column %s has type %s, not %s', name, format_type(a.atttypid, null),
                     array_to_string(types, ' or '))
       when name = 'seq' and a.attidentity = '' and d.oid is null
         then 'column seq has no default'
       when name = 'shard' and (a.attgenerated <> 's'
            or pg_get_expr(d.adbin, d.adrelid) <> '((hashtext(aggregate_id) & 63))::smallint')
         then 'column shard is not generated from aggregate_id as Outrider does it'
     end as fault, case
       when a.attname is null
         then format('alter table undispatched_events add column %s %s, and fill it', name, types[1])
       when is_required
         then format('alter table undispatched_events alter column %1$s type %2$s using %1$s::%2$s', name, types[1])
       else format('alter table undispatched_events rename column %1$s to my_%1$s', name)
     end as repair) as judged
   where fault is not null;

  if faults is not null then
    raise exception using errcode = 'datatype_mismatch',
      message = 'undispatched_events cannot be adopted: ' || faults, hint = repairs;
  end if;
end
$columns$;

do $rows$
declare
  faults text;
  repairs text;
begin
  select string_agg(format('column %s is null in %s row(s)', name, nulls), '; '),
         string_agg(format('delete these rows, or: update undispatched_events set %1$s = %2$s where %1$s is null',
                           name, repair), '; ')
    into faults, repairs
    from (select count(*) filter (where event_id is null) as ids,
                 count(*) filter (where aggregate_id is null) as aggregates,
                 count(*) filter (where created_at is null) as times,
                 count(*) filter (where event_payload is null) as payloads
            from undispatched_events) as counted
   cross join lateral (values
           ('event_id', ids, 'gen_random_uuid()'),
           ('aggregate_id', aggregates, '<the aggregate it belongs to>'),
           ('created_at', times, '<when it happened>'),
           ('event_payload', payloads, '<its payload>')) as judged (name, nulls, repair)
   where nulls > 0;

  if faults is not null then
    raise exception using errcode = 'not_null_violation',
      message = 'undispatched_events cannot be adopted: ' || faults, hint = repairs;
  end if;
end
$rows$;

do $types$
declare
  wanted text := nullif(current_setting('outrider.payload_type', true), '');
  present text;
  aggregate_id_type text;
  created_at_type text;
  conversion text;
  place tid;
  broken uuid;
begin
  if wanted not in ('json', 'jsonb', 'bytea') then
    raise exception using errcode = 'invalid_parameter_value',
      message = format('outrider.payload_type is %s', quote_literal(wanted)),
      hint = 'use json, jsonb or bytea';
  end if;
  select max(format_type(atttypid, null)) filter (where attname = 'event_payload'),
         max(format_type(atttypid, null)) filter (where attname = 'aggregate_id'),
         max(format_type(atttypid, atttypmod)) filter (where attname = 'created_at')
    into present, aggregate_id_type, created_at_type
    from pg_attribute
   where attrelid = 'undispatched_events'::regclass and not attisdropped;

  if aggregate_id_type <> 'text' then
    alter table undispatched_events alter column aggregate_id type text using aggregate_id::text;
  end if;

  -- A column like timestamp(3) would round, and rounding makes ties.
  if created_at_type <> 'timestamp with time zone' then
    alter table undispatched_events alter column created_at type timestamptz;
    -- The wrong zone may put rows into the future, where the relay does not see them for hours.
    if created_at_type like '%without time zone'
       and exists (select from undispatched_events where created_at > clock_timestamp() + interval '1 minute') then
      raise exception using errcode = 'datetime_field_overflow',
        message = format('undispatched_events cannot be adopted: column created_at has no time zone, and read as %s some rows lie in the future',
                         quote_literal(current_setting('timezone'))),
        hint = 'connect with the time zone that the application writes, for example: alter role '
               || quote_ident(current_user) || ' set timezone = ''UTC''';
    end if;
  end if;

  wanted := coalesce(wanted, case when present in ('json', 'jsonb', 'bytea') then present else 'json' end);
  if present <> wanted then
    conversion := case
      when wanted = 'bytea' then 'convert_to(event_payload::text, ''UTF8'')'
      when present = 'bytea' then format('convert_from(event_payload, ''UTF8'')::%s', wanted)
      else format('event_payload::text::%s', wanted) end;
    begin
      execute format('alter table undispatched_events alter column event_payload type %s using %s', wanted, conversion);
    exception when data_exception then
      -- PostgreSQL's own message would quote the payload. Name the row instead.
      for place in select ctid from undispatched_events loop
        begin
          execute format('select %s from undispatched_events where ctid = $1', conversion) using place;
        exception when data_exception then
          select event_id into broken from undispatched_events where ctid = place;
          exit;
        end;
      end loop;
      raise exception using errcode = 'invalid_text_representation',
        message = format('undispatched_events cannot be adopted: column event_payload of event %s is no valid %s',
                         broken, wanted),
        hint = 'repair or delete that row, or keep payloads as bytes with payload type bytea';
    end;
  end if;
end
$types$;

alter table undispatched_events
  alter column event_id set not null,
  alter column aggregate_id set not null,
  -- Not now(): that is the start of the transaction. It ties inside one, and it reverses two writers
  -- of which one waited for the other.
  alter column created_at set default clock_timestamp(),
  alter column created_at set not null,
  alter column event_payload set not null,
  add column if not exists seq bigint not null generated always as identity,
  add column if not exists event_type text,
  add column if not exists aggregate_type text,
  add column if not exists topic text,
  add column if not exists headers jsonb,
  add column if not exists shard smallint not null
    generated always as ((hashtext(aggregate_id) & 63)::smallint) stored;
-- For a seq that was there before.
alter table undispatched_events alter column seq set not null;

do $key$
declare
  duplicate uuid;
begin
  if not exists (select from pg_attribute where attrelid = 'undispatched_events'::regclass
                    and attname = 'event_id' and atthasdef) then
    alter table undispatched_events alter column event_id set default gen_random_uuid();
  end if;

  if exists (select from pg_index i
               join pg_attribute a on a.attrelid = i.indrelid and a.attname = 'event_id'
              where i.indrelid = 'undispatched_events'::regclass and i.indisunique and i.indisvalid
                and i.indpred is null and i.indnkeyatts = 1 and i.indkey[0] = a.attnum) then
    return;
  end if;
  select event_id into duplicate from undispatched_events group by event_id having count(*) > 1 limit 1;
  if found then
    raise exception using errcode = 'unique_violation',
      message = format('undispatched_events cannot be adopted: column event_id has duplicates, among them %s', duplicate),
      hint = 'event_id is the deduplication id: give each such row an id of its own, or delete the copies';
  end if;
  if exists (select from pg_index where indrelid = 'undispatched_events'::regclass and indisprimary) then
    alter table undispatched_events add unique (event_id);
  else
    alter table undispatched_events add primary key (event_id);
  end if;
end
$key$;

create index if not exists undispatched_events_order on undispatched_events (shard, created_at, seq);

-- Every row is deleted soon, so dead rows are the normal state: vacuum by number, not by share of the
-- table, at full speed, with the index, and without the exclusive lock that giving space back takes.
alter table undispatched_events set (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0,
  vacuum_index_cleanup = on,
  vacuum_truncate = off,
  toast.autovacuum_vacuum_scale_factor = 0,
  toast.autovacuum_vacuum_threshold = 2000,
  toast.autovacuum_vacuum_cost_delay = 0,
  toast.vacuum_index_cleanup = on,
  toast.vacuum_truncate = off
);

comment on table undispatched_events is
  'Transactional outbox: events that are committed and not yet published. Insert in the business transaction; the relay deletes what the broker has acknowledged.';
comment on column undispatched_events.event_id is 'Deduplication id, end to end.';
comment on column undispatched_events.aggregate_id is 'Root of the aggregate: the unit of order, and the Kafka key.';
comment on column undispatched_events.created_at is
  'First half of the position (created_at, seq). Leave it to its default: a time of one''s own may lie below what was already published.';
comment on column undispatched_events.event_payload is 'Published byte for byte.';
comment on column undispatched_events.seq is 'Second half of the position: breaks ties of created_at.';
comment on column undispatched_events.event_type is 'Optional. Becomes a header.';
comment on column undispatched_events.aggregate_type is 'Optional. Chooses the topic when topic is null.';
comment on column undispatched_events.topic is 'Optional. Overrides every rule for the topic.';
comment on column undispatched_events.headers is 'Optional. A JSON object of strings.';
comment on column undispatched_events.shard is 'Slice of the aggregates that one relay owns at a time.';
