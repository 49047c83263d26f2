DELETE FROM "dms"."ReferenceEdge" AS e
 USING unnest($1::int8[], $2::int8[]) AS u(p, c)
 WHERE e."ParentDocumentId" = u.p AND e."ChildDocumentId" = u.c
