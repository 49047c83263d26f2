SELECT pg_current_snapshot()::text AS "Snapshot"
