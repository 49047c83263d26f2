SELECT c."DocumentId", c."ContentVersion", c."DocumentUuid", c."ResourceKeyId", c."LastModifiedAt", c."Body", c."BodyHash"
  FROM "dms"."DocumentCache" c
 WHERE c."DocumentId" = ANY($1::int8[])
