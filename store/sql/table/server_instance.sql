-- The oid is looked up at each execution; a constant would be resolved when the statement is prepared.
SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 AS "StartedUs",
       coalesce(to_regclass('"dms"."Document"')::oid, 0::oid) AS "Table",
       coalesce((SELECT e."History" FROM "dms"."EffectiveSchema" e), 0) AS "History"
