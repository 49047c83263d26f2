DELETE FROM "dms"."Tombstone" WHERE "DocumentUuid" = ANY((SELECT $1::uuid[])::uuid[])
