SELECT "DocumentId", "DocumentUuid", "ResourceKeyId"
  FROM "dms"."Document"
 WHERE "DocumentId" = ANY((SELECT $1::int8[])::int8[])
 ORDER BY "DocumentId"
   FOR NO KEY UPDATE
