SELECT l."DocumentId"
  FROM "dms"."IdentityLock" l
 WHERE l."DocumentId" = ANY(ARRAY(SELECT unnest($1::int8[])
                                  UNION ALL
                                  SELECT e."ChildDocumentId" FROM "dms"."ReferenceEdge" e
                                   WHERE e."ParentDocumentId" = ANY((SELECT $2::int8[])::int8[])))
 ORDER BY l."DocumentId"
   FOR SHARE OF l
