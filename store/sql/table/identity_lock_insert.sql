INSERT INTO "dms"."IdentityLock" ("DocumentId") SELECT unnest($1::int8[])
