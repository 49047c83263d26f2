SELECT x."DocumentId", x."Uri", x."ResourceKeyId" FROM "dms"."Descriptor" x WHERE x."DocumentId" = ANY($1::int8[])
