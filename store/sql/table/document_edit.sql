UPDATE "dms"."Document"
   SET "ContentVersion" = $2, "LastModifiedAt" = greatest("LastModifiedAt", clock_timestamp()), "ContentHash" = $3
 WHERE "DocumentId" = $1
