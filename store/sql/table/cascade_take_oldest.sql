-- Renames become visible in the order of their versions, so the lowest version is the oldest cascade.
SELECT "DocumentId", "ContentVersion", "Cursor" FROM "dms"."Cascade"
ORDER BY "ContentVersion", "DocumentId" LIMIT 1 FOR UPDATE SKIP LOCKED
