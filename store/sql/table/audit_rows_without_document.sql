SELECT '{table_literal}'::text AS "Table", r."{column}" AS "DocumentId", count(*) AS "Rows"
  FROM {table} r
 WHERE NOT EXISTS (SELECT 1 FROM "dms"."Document" d WHERE d."DocumentId" = r."{column}")
 GROUP BY 2
