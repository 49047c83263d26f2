DELETE FROM "dms"."DocumentCache" WHERE "DocumentId" = ANY((SELECT $1::int8[])::int8[])
