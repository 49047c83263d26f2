SELECT setval('"dms"."ChangeVersionSequence"', $1::int8 + $2::int8) AS "Version"
  FROM "dms"."ChangeVersionSequence" WHERE last_value < $1::int8
