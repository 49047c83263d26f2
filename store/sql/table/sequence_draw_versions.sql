SELECT nextval('"dms"."ChangeVersionSequence"') AS "Version" FROM generate_series(1, $1::int8) AS g ORDER BY g
