-- An order and its events, from anything that speaks SQL.
create table if not exists orders (id uuid primary key, total_cents integer not null);

begin;
insert into orders values ('0193a0e2-0000-4000-8000-000000000001', 4200) on conflict do nothing;

-- The columns of the pattern are enough; created_at has a default, and should keep it.
insert into undispatched_events (event_id, aggregate_id, event_payload)
values (gen_random_uuid(), '0193a0e2-0000-4000-8000-000000000001', '{"event": "OrderPlaced"}');

-- The function checks what the relay would reject later, and makes the id.
select outrider_enqueue(
  '0193a0e2-0000-4000-8000-000000000001',
  '{"totalCents": 4200}',
  event_type => 'OrderPlaced',
  aggregate_type => 'order',
  headers => '{"x-tenant": "acme"}'
);
commit;
