UPDATE "dms"."Document" SET "ContentHash" = $2 WHERE "DocumentId" = $1
