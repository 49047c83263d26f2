SELECT k."ResourceName"
  FROM "dms"."ReferenceEdge" e
  JOIN "dms"."Document" d ON d."DocumentId" = e."ParentDocumentId"
  JOIN "dms"."ResourceKey" k ON k."ResourceKeyId" = d."ResourceKeyId"
 WHERE e."ChildDocumentId" = $1 AND e."ParentDocumentId" <> $1
 GROUP BY k."ProjectName", k."ResourceName"
 ORDER BY k."ProjectName", k."ResourceName"
