-- The oid is looked up at each execution; a constant would be resolved when the statement is prepared.
SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 AS "StartedUs",
       coalesce(to_regclass('"dms"."Document"')::oid, 0::oid) AS "Table", "History"
  FROM "dms"."EffectiveSchema"
