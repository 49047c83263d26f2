SELECT "DocumentUuid" FROM "dms"."Document" WHERE "DocumentId" = ANY($1::int8[]) ORDER BY "DocumentId"
