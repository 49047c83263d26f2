SELECT DISTINCT e."ParentDocumentId"
  FROM unnest($1::int8[]) AS c(i)
  JOIN "dms"."ReferenceEdge" e ON e."ChildDocumentId" = c.i AND e."IsIdentityComponent"
