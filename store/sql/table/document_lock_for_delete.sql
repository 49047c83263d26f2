SELECT 1 FROM "dms"."Document" WHERE "DocumentId" = $1 FOR UPDATE
