INSERT INTO "dms"."ProjectionProgress" AS p ("Consumer", "Term", "UpdatedAt") VALUES ($1::text, 1, now())
    ON CONFLICT ("Consumer") DO UPDATE SET "Term" = p."Term" + 1, "UpdatedAt" = now()
RETURNING "Term"
