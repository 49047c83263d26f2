SELECT "Position", "WatermarkSnapshot"::text AS "WatermarkSnapshot", "WatermarkLsn", "SystemIdentifier", "Timeline",
       "DatabaseUuid", "Epoch", "Stream", "History"
  FROM "dms"."ProjectionProgress" WHERE "Consumer" = $1::text
