SELECT "Position", "WatermarkSnapshot"::text AS "WatermarkSnapshot", "WatermarkLsn", "SystemIdentifier", "Timeline",
       "DatabaseUuid", "Epoch", "Stream"
  FROM "dms"."ProjectionProgress" WHERE "Consumer" = $1::text
