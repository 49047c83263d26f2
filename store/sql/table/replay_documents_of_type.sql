-- Apart from the statement for all types, so that it walks the index of the types. $3: also documents that are not cached.
SELECT d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion", false AS "Deleted"
FROM "dms"."Document" d
WHERE d."ResourceKeyId" = $4::int2 AND d."DocumentId" > $1::int8
  AND ($3::bool OR EXISTS (SELECT FROM "dms"."DocumentCache" c WHERE c."DocumentId" = d."DocumentId"))
ORDER BY d."DocumentId" LIMIT $2::int8
