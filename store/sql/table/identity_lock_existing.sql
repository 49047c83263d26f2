SELECT l."DocumentId" FROM "dms"."IdentityLock" l WHERE l."DocumentId" = ANY($1::int8[])
