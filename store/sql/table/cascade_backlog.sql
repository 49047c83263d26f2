SELECT count(*) AS "Open",
       coalesce(extract(epoch FROM clock_timestamp() - min("OpenedAt")) * 1000, 0)::int8 AS "OldestAgeMs"
FROM "dms"."Cascade"
