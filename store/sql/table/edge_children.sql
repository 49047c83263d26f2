SELECT e."ChildDocumentId", e."IsIdentityComponent",
       EXISTS (SELECT 1 FROM "dms"."IdentityLock" l WHERE l."DocumentId" = e."ChildDocumentId") AS "IsChangeable"
  FROM "dms"."ReferenceEdge" e
 WHERE e."ParentDocumentId" = $1
