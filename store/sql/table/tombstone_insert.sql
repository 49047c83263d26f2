INSERT INTO "dms"."Tombstone" ("DocumentUuid", "DocumentId", "ResourceKeyId", "ContentVersion", "IdentityValues",
       "DeletedAt")
VALUES ($1, $2, $3, $4, $5, now())
