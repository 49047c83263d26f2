SELECT o."OutboxId", o."DocumentId", o."DocumentUuid", o."ResourceKeyId", o."ContentVersion",
       o."Kind" = 'delete' AS "Deleted"
FROM "dms"."Outbox" o WHERE o."OutboxId" > $1::int8 AND o."OutboxId" <= $2::int8
ORDER BY o."OutboxId" LIMIT $3::int8
