-- Ascending, as every transaction that locks more than one.
INSERT INTO "dms"."IdentityLock" ("DocumentId")
SELECT d."DocumentId" FROM "dms"."Document" d
 WHERE d."DocumentId" = ANY((SELECT $1::int8[])::int8[])
 ORDER BY d."DocumentId"
ON CONFLICT ("DocumentId") DO NOTHING
RETURNING "DocumentId"
