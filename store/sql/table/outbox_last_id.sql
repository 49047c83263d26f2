SELECT COALESCE(pg_sequence_last_value(pg_get_serial_sequence('"dms"."Outbox"', 'OutboxId')::regclass), 0) AS "OutboxId"
