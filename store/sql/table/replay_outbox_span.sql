SELECT min(o."OutboxId") AS "First", max(o."OutboxId") AS "Last" FROM "dms"."Outbox" o
WHERE o."CreatedAt" BETWEEN to_timestamp($1::float8 / 1000) AND to_timestamp($2::float8 / 1000)
