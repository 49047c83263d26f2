SELECT e."History" AS "Current", coalesce(p."History", 0) AS "CaughtUp"
  FROM "dms"."EffectiveSchema" AS e LEFT JOIN "dms"."ProjectionProgress" AS p ON p."Consumer" = $1::text
