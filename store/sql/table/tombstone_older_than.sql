SELECT "DocumentUuid" FROM "dms"."Tombstone"
WHERE "DeletedAt" < now() - make_interval(secs => $1::float8) ORDER BY "DeletedAt" LIMIT $2::int8
