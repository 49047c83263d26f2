SELECT d."DocumentId", d."ResourceKeyId" FROM "dms"."Document" d WHERE d."DocumentId" = ANY($1::int8[])
