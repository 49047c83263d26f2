SELECT o."OutboxId", o."TransactionId", o."DocumentId", o."DocumentUuid", o."ResourceKeyId", o."Kind", o."ContentVersion"
  FROM "dms"."Outbox" AS o
 WHERE NOT pg_visible_in_snapshot(o."TransactionId", $1::text::pg_snapshot) AND o."OutboxId" > $2::int8
 ORDER BY o."OutboxId"
 LIMIT $3::int8
