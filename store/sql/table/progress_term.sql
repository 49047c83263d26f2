SELECT "Term" FROM "dms"."ProjectionProgress" WHERE "Consumer" = $1::text
