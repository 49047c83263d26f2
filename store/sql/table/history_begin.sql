-- The number is a time, so that it is new also in a database that was restored to before an earlier history began. The
-- sequences are moved by the session that begins the history, and only by it.
WITH begun AS (
  UPDATE "dms"."EffectiveSchema"
     SET "History" = greatest("History" + 1, $2::int8 + 1, extract(epoch FROM clock_timestamp())::int8)
   WHERE "History" = $1::int8
  RETURNING "History"
)
SELECT b."History",
       setval('"dms"."ChangeVersionSequence"', greatest(v.last_value, $3::int8) + $5::int8) AS "Version",
       setval('"dms"."DocumentIdSequence"', greatest(d.last_value, $4::int8) + $5::int8) AS "DocumentId"
  FROM begun AS b, "dms"."ChangeVersionSequence" AS v, "dms"."DocumentIdSequence" AS d
