SELECT p.i AS "ParentDocumentId"
  FROM unnest($1::int8[]) AS c(i)
 CROSS JOIN LATERAL (SELECT e."ParentDocumentId" AS i FROM "dms"."ReferenceEdge" e
                      WHERE e."ChildDocumentId" = c.i LIMIT cardinality($1::int8[]) + $2::int8) p
EXCEPT
SELECT x.i FROM unnest($1::int8[]) AS x(i)
 ORDER BY 1
 LIMIT $2::int8
