-- The sub-select hides the length of the array from the planner, which would plan again for each length.
SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body"
FROM "dms"."DocumentCache" WHERE "DocumentId" = ANY((SELECT $1::int8[])::int8[])
