SELECT "ResourceKeyId", count(*) FILTER (WHERE NOT "Deleted") AS "Written", count(*) FILTER (WHERE "Deleted") AS "Deletes"
FROM (
      SELECT "ResourceKeyId", "Kind" = 'delete' AS "Deleted" FROM "dms"."Outbox"
      WHERE "OutboxId" BETWEEN $1::int8 AND $2::int8
) r GROUP BY "ResourceKeyId" ORDER BY count(*) DESC, "ResourceKeyId"
