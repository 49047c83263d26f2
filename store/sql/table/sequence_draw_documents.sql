SELECT nextval('"dms"."DocumentIdSequence"') AS "DocumentId" FROM generate_series(1, $1::int8) AS g ORDER BY g
