-- A separate statement after the locks are held, so that it compares with the rows as they are now.
UPDATE "dms"."Document" d
SET "ContentVersion" = k."ContentVersion", "LastModifiedAt" = greatest(d."LastModifiedAt", k."OpenedAt")
FROM "dms"."Cascade" k
WHERE k."DocumentId" = $1::int8 AND k."ContentVersion" = $2::int8
  AND d."DocumentId" = ANY($3::int8[]) AND d."ContentVersion" < k."ContentVersion"
RETURNING d."DocumentId", d."DocumentUuid", d."ResourceKeyId"
