-- Without the bodies.
SELECT c."DocumentId", c."ContentVersion", c."DocumentUuid", c."ResourceKeyId", c."LastModifiedAt"
  FROM "dms"."DocumentCache" c
 WHERE c."DocumentId" = ANY((SELECT $1::int8[])::int8[])
