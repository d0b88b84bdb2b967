-- Relays that run lose their shards at once and publish nothing more.
drop table outrider_members;
drop table outrider_shard_leases;
