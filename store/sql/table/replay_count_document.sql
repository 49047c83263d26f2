SELECT "ResourceKeyId", count(*) FILTER (WHERE NOT "Deleted") AS "Written", count(*) FILTER (WHERE "Deleted") AS "Deletes"
FROM (
      SELECT "ResourceKeyId", false AS "Deleted" FROM "dms"."Document" WHERE "DocumentUuid" = $1::uuid
      UNION ALL
      SELECT "ResourceKeyId", true AS "Deleted" FROM "dms"."Tombstone" WHERE "DocumentUuid" = $1::uuid
) r GROUP BY "ResourceKeyId" ORDER BY count(*) DESC, "ResourceKeyId"
