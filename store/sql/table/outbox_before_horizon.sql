SELECT h."Horizon", o."OutboxId", o."TransactionId", o."DocumentId", o."DocumentUuid", o."ResourceKeyId", o."Kind",
       o."ContentVersion"
  FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS "Horizon") AS h
  LEFT JOIN LATERAL (
       SELECT * FROM "dms"."Outbox" AS o
        WHERE o."TransactionId" < h."Horizon" AND (o."TransactionId", o."OutboxId") > ($1::xid8, $2::int8)
        ORDER BY o."TransactionId", o."OutboxId"
        LIMIT $3::int8) AS o ON true
 ORDER BY o."TransactionId", o."OutboxId"
