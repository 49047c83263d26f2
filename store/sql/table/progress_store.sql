INSERT INTO "dms"."ProjectionProgress" AS p ("Consumer", "Position", "WatermarkSnapshot", "WatermarkLsn",
       "SystemIdentifier", "Timeline", "DatabaseUuid", "Epoch", "UpdatedAt", "Stream", "History")
SELECT $1::text, $2::pg_lsn, $3::text::pg_snapshot, $4::pg_lsn, $5::text, $6::int4, $7::uuid, $8::uuid, now(), $10::text, $11::int8
 WHERE $9::int8 IS NULL OR EXISTS (SELECT FROM "dms"."ProjectionProgress" WHERE "Consumer" = $1::text)
    ON CONFLICT ("Consumer") DO UPDATE SET
       "Position" = excluded."Position",
       "WatermarkSnapshot" = CASE WHEN excluded."WatermarkSnapshot" IS NOT NULL THEN excluded."WatermarkSnapshot"
            WHEN (p."SystemIdentifier", p."Timeline", p."DatabaseUuid", p."History")
               = (excluded."SystemIdentifier", excluded."Timeline", excluded."DatabaseUuid", excluded."History")
            THEN p."WatermarkSnapshot" END,
       "WatermarkLsn" = CASE WHEN excluded."WatermarkLsn" IS NOT NULL THEN excluded."WatermarkLsn"
            WHEN (p."SystemIdentifier", p."Timeline", p."DatabaseUuid", p."History")
               = (excluded."SystemIdentifier", excluded."Timeline", excluded."DatabaseUuid", excluded."History")
            THEN p."WatermarkLsn" END,
       "SystemIdentifier" = excluded."SystemIdentifier",
       "Timeline" = excluded."Timeline",
       "DatabaseUuid" = excluded."DatabaseUuid",
       "Epoch" = excluded."Epoch",
       "UpdatedAt" = excluded."UpdatedAt",
       "Stream" = excluded."Stream",
       "History" = excluded."History"
 WHERE $9::int8 IS NULL OR p."Term" = $9::int8
