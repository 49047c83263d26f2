DELETE FROM "dms"."Document" WHERE "DocumentId" = $1
