SELECT EXISTS (SELECT FROM "dms"."{partition}" AS o
                WHERE o."CreatedAt" >= $1::timestamptz
                   OR NOT pg_visible_in_snapshot(o."TransactionId", $2::text::pg_snapshot)) AS "Needed"
