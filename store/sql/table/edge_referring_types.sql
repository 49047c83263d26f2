-- A hub may have millions of referrers: the first ones name their types. The limit is inside, so no more edges are read.
SELECT k."ResourceName"
  FROM (SELECT r."ParentDocumentId" FROM "dms"."ReferenceEdge" r
         WHERE r."ChildDocumentId" = $1 AND r."ParentDocumentId" <> $1 LIMIT 10000) e
  JOIN "dms"."Document" d ON d."DocumentId" = e."ParentDocumentId"
  JOIN "dms"."ResourceKey" k ON k."ResourceKeyId" = d."ResourceKeyId"
 GROUP BY k."ProjectName", k."ResourceName"
 ORDER BY k."ProjectName", k."ResourceName"
