SELECT nextval('"dms"."ChangeVersionSequence"') AS "Version"
