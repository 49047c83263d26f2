DELETE FROM "dms"."{partition}" WHERE "OutboxId" IN (
       SELECT o."OutboxId" FROM "dms"."{partition}" AS o
        WHERE o."CreatedAt" < $1::timestamptz AND pg_visible_in_snapshot(o."TransactionId", $2::text::pg_snapshot)
        LIMIT $3::int8)
