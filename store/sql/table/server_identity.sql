SELECT system_identifier::text AS "SystemIdentifier",
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int4 AS "Timeline"
  FROM pg_control_system()
