drop table outrider_identity;
drop table outrider_batch_intents;
