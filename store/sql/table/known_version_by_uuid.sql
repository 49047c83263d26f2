-- One statement, so that a document that is deleted meanwhile is found either with its row or with its tombstone.
SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", false AS "Deleted"
FROM "dms"."Document" WHERE "DocumentUuid" = ANY((SELECT $1::uuid[])::uuid[])
UNION ALL
SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", true AS "Deleted"
FROM "dms"."Tombstone" WHERE "DocumentUuid" = ANY((SELECT $1::uuid[])::uuid[])
