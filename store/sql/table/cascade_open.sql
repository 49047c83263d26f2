INSERT INTO "dms"."Cascade" ("DocumentId", "ContentVersion", "TransactionId", "Cursor", "OpenedAt")
SELECT u.i, u.v, pg_current_xact_id(), 0, clock_timestamp() FROM unnest($1::int8[], $2::int8[]) AS u(i, v)
