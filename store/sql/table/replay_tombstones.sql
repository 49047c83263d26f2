SELECT t."DocumentId", t."DocumentUuid", t."ResourceKeyId", t."ContentVersion", true AS "Deleted"
FROM "dms"."Tombstone" t
WHERE t."DocumentUuid" > $1::uuid AND ($3::int2 IS NULL OR t."ResourceKeyId" = $3::int2)
ORDER BY t."DocumentUuid" LIMIT $2::int8
