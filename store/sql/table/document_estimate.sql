SELECT greatest(c.reltuples, 0)::int8 AS "Documents" FROM pg_class c WHERE c.oid = '"dms"."Document"'::regclass
