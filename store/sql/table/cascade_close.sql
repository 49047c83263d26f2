DELETE FROM "dms"."Cascade" WHERE "DocumentId" = $1::int8 AND "ContentVersion" = $2::int8
