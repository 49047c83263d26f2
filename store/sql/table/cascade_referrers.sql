SELECT "ParentDocumentId" FROM "dms"."ReferenceEdge"
WHERE "ChildDocumentId" = $1::int8 AND "ParentDocumentId" > $2::int8
ORDER BY "ParentDocumentId" LIMIT $3::int8
