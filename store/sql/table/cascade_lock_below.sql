-- Ascending, as every transaction locks documents.
SELECT "DocumentId" FROM "dms"."Document"
WHERE "DocumentId" = ANY($1::int8[]) AND "ContentVersion" < $2::int8
ORDER BY "DocumentId" FOR NO KEY UPDATE
