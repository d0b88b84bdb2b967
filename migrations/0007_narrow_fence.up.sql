-- Only where it is asked for (migrate --narrow-fence): each writer announces the shards it writes to, so that
-- a relay holds back those alone, and not the events of everybody else, while the writer's transaction is open.
--
-- A shared advisory lock of the transaction announces a shard. It waits for nobody and keeps nobody waiting; it
-- goes with its transaction, or with the savepoint that is rolled back. There are 64 shards, so that no
-- transaction ever takes more than 64 of them, however many events it writes.
--
-- The announcement comes first, then the time: a row stamped before its shard was announced could be passed
-- over by a relay that looked in between. created_at has its default by now, so that it is read once more. A
-- time that the application gave is left alone; one that lies within the statement cannot be told from the
-- default, and is what the default would have been.

-- The first form of the lock answers with a boolean, which PL/pgSQL asks for without running a query: a third of the
-- price. It is refused only by somebody who holds the lock alone, which nothing of ours ever does; then it is waited for.

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

-- The name puts it behind all other triggers of its kind: whatever they make of aggregate_id counts.
create trigger zz_outrider_announce_shard before insert on undispatched_events
  for each row execute function outrider_announce_shard();

-- Also for sessions with session_replication_role = replica. A relay believes in announcements only so long
-- as nobody can write without one.
alter table undispatched_events enable always trigger zz_outrider_announce_shard;
