SELECT p.name AS "Name", (p.bounds)[1]::int8 AS "From", (p.bounds)[2]::int8 AS "To"
  FROM (SELECT c.relname::text AS name,
               regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('?(\d+)'?\) TO \('?(\d+)'?\)$$) AS bounds
          FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE i.inhparent = '"dms"."Outbox"'::regclass) AS p
 WHERE p.bounds IS NOT NULL
 ORDER BY 2
