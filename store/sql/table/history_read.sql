-- The end of the log on disk: a crash takes back what lies behind it.
SELECT c.system_identifier::text AS "SystemIdentifier",
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int4 AS "Timeline",
       e."DatabaseUuid", e."History", pg_current_wal_flush_lsn() AS "Lsn",
       CASE WHEN v.is_called THEN v.last_value ELSE 0 END AS "Version",
       CASE WHEN d.is_called THEN d.last_value ELSE 0 END AS "DocumentId"
  FROM pg_control_system() AS c, "dms"."EffectiveSchema" AS e, "dms"."ChangeVersionSequence" AS v,
       "dms"."DocumentIdSequence" AS d
