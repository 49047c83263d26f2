SELECT i."DocumentId", i."IdentityValues"
  FROM "dms"."ReferentialIdentity" i
  JOIN "dms"."Document" d ON d."DocumentId" = i."DocumentId" AND d."ResourceKeyId" = i."ResourceKeyId"
 WHERE i."DocumentId" = ANY($1::int8[])
