SELECT "DocumentUuid" FROM "dms"."Document" WHERE "DocumentId" = $1 FOR NO KEY UPDATE
