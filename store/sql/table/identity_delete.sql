DELETE FROM "dms"."ReferentialIdentity" WHERE "DocumentId" = ANY($1::int8[])
