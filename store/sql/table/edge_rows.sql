SELECT e."ParentDocumentId", e."ChildDocumentId", e."IsIdentityComponent", d."ResourceKeyId"
  FROM "dms"."ReferenceEdge" e
  LEFT JOIN "dms"."Document" d ON d."DocumentId" = e."ChildDocumentId"
 WHERE e."ParentDocumentId" = ANY($1::int8[])
