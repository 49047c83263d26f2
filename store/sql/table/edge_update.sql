UPDATE "dms"."ReferenceEdge" AS e
   SET "IsIdentityComponent" = u.f
  FROM unnest($1::int8[], $2::int8[], $3::bool[]) AS u(p, c, f)
 WHERE e."ParentDocumentId" = u.p AND e."ChildDocumentId" = u.c
