-- Nothing is recorded once the database has begun another history.
INSERT INTO "dms"."ProjectionProgress" AS p ("Consumer", "History", "UpdatedAt")
SELECT $1::text, e."History", now() FROM "dms"."EffectiveSchema" AS e WHERE e."History" = $2::int8
    ON CONFLICT ("Consumer") DO UPDATE SET "History" = excluded."History", "UpdatedAt" = excluded."UpdatedAt"
