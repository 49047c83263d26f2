SELECT "ResourceKeyId", count(*) FILTER (WHERE NOT "Deleted") AS "Written", count(*) FILTER (WHERE "Deleted") AS "Deletes"
FROM (
      SELECT "ResourceKeyId", false AS "Deleted" FROM "dms"."Document"
      UNION ALL
      SELECT "ResourceKeyId", true AS "Deleted" FROM "dms"."Tombstone"
) r GROUP BY "ResourceKeyId" ORDER BY count(*) DESC, "ResourceKeyId"
