SELECT c.i AS "ChildDocumentId"
  FROM unnest($1::int8[]) AS c(i)
 WHERE EXISTS (SELECT 1 FROM "dms"."ReferenceEdge" e
                 LEFT JOIN unnest($1::int8[]) AS x(i) ON x.i = e."ParentDocumentId"
                WHERE e."ChildDocumentId" = c.i AND x.i IS NULL)
