-- Renames become visible in the order of their versions, so the lowest version is the oldest cascade.
SELECT "DocumentId", "ContentVersion", "Cursor" FROM "dms"."Cascade" AS c
 WHERE NOT EXISTS (SELECT FROM unnest($1::int8[], $2::int8[]) AS passed("DocumentId", "ContentVersion")
                    WHERE passed."DocumentId" = c."DocumentId" AND passed."ContentVersion" = c."ContentVersion")
 ORDER BY "ContentVersion", "DocumentId" LIMIT 1 FOR UPDATE OF c SKIP LOCKED
