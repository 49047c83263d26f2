UPDATE "dms"."Cascade" SET "Cursor" = $3::int8 WHERE "DocumentId" = $1::int8 AND "ContentVersion" = $2::int8
