SELECT c.relname::text AS "Name"
  FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
 WHERE i.inhparent = '"dms"."Outbox"'::regclass AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'
