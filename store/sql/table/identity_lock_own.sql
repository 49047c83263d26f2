SELECT 1 FROM "dms"."IdentityLock" WHERE "DocumentId" = ANY($1::int8[]) FOR UPDATE
