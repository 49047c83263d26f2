SELECT "DocumentId" FROM "dms"."IdentityLock" WHERE "DocumentId" = ANY($1::int8[]) ORDER BY "DocumentId" FOR UPDATE
