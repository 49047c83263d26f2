SELECT e."ParentDocumentId", e."ChildDocumentId", e."IsIdentityComponent",
       -- A scalar: an EXISTS may be planned as a hash of the whole table.
       (SELECT true FROM "dms"."IdentityLock" l WHERE l."DocumentId" = e."ChildDocumentId") IS NOT NULL AS "IsChangeable"
  FROM "dms"."ReferenceEdge" e
 WHERE e."ParentDocumentId" = ANY((SELECT $1::int8[])::int8[])
