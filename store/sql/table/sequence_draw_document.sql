SELECT nextval('"dms"."DocumentIdSequence"') AS "DocumentId", nextval('"dms"."ChangeVersionSequence"') AS "Version"
