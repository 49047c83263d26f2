SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body"
FROM "dms"."DocumentCache" WHERE "DocumentUuid" > $1::uuid ORDER BY "DocumentUuid" LIMIT $2::int8
